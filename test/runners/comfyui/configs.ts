import { type ComfyuiConfig, comfyuiSection } from '../../../src/runners/comfyui/comfyui-section.js';

/** A valid section, over which `changes` are laid. */
export function comfyuiConfig(changes: Record<string, unknown> = {}): ComfyuiConfig {
  return comfyuiSection.parse({
    enabled: true,
    launcher: 'process',
    comfyui_path: '/opt/ComfyUI',
    python: '/opt/ComfyUI/venv/bin/python',
    image_name: null,
    pull: 'never',
    container_name: 'comfyui',
    bind_address: '127.0.0.1',
    ports: { from: 20_000, to: 20_050 },
    device: 'gpu',
    env: {},
    mounts: [],
    shm_size: null,
    memory_limit: null,
    ulimits: [],
    start_timeout_seconds: 10,
    stop_grace_seconds: 2,
    model_configs: {},
    supported_models: ['chane_face'],
    ...changes,
  });
}
