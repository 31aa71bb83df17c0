import { join } from 'node:path';
import type { LaunchSpec, Mount } from '../../launchers/launcher.js';
import type { HostPath } from '../../launchers/host-paths.js';
import { mountedPaths } from '../placement-server/placement-server-section.js';
import type { ServedPlacement, ServerProgram } from '../placement-server/served-placement.js';
import type { ComfyuiConfig, ComfyuiModelConfig } from './comfyui-section.js';
import { withoutFlags } from './comfyui-flags.js';
import { type ComfyuiOptions, optionFlags } from './comfyui-options.js';
import { ComfyuiNotConfiguredError } from './errors.js';

/** Whether the configuration says what to run. */
export function isConfigured({ launcher, comfyui_path: path, image_name: image }: ComfyuiConfig): boolean {
  return (launcher === 'process' ? path : image) !== null;
}

/** @throws ComfyuiNotConfiguredError */
export function assertConfigured(config: ComfyuiConfig): void {
  if (isConfigured(config)) return;
  throw new ComfyuiNotConfiguredError(
    'This service does not know where ComfyUI is: set runners.comfyui.comfyui_path and python (launcher: process), ' +
      'or image_name (launcher: docker).',
  );
}

/** What is run for a placement. @throws ComfyuiNotConfiguredError */
export function comfyuiProgram(
  config: ComfyuiConfig,
  placement: ServedPlacement<ComfyuiOptions>,
): ServerProgram {
  assertConfigured(config);
  const own = config.model_configs[placement.modelName] ?? {};
  const command = [mainFile(config), ...flags(config, own, placement)];
  const env = {
    // Its last lines must be in the log when it dies.
    PYTHONUNBUFFERED: '1',
    ...(own.workflow_dir !== undefined && { COMFYUI_WORKFLOW_DIR: own.workflow_dir }),
    ...config.env,
  };
  const programSetting = 'runners.comfyui.python';
  if (config.launcher === 'process') return { command: [config.python, ...command], programSetting, env };
  const hostPaths = [
    ...mountedPaths(config.mounts, 'runners.comfyui.mounts'),
    ...neededFiles(config, placement.modelName),
  ];
  return {
    entrypoint: [config.python],
    command,
    programSetting,
    env,
    mounts: mounts(config, own),
    hostPaths,
  };
}

/** What asks the installation for its flags. @throws ComfyuiNotConfiguredError */
export function flagQuestion(config: ComfyuiConfig): LaunchSpec {
  assertConfigured(config);
  const command = [mainFile(config), '--help'];
  return {
    name: `${config.container_name}_flags`,
    labels: {},
    ...(config.image_name !== null && { image: config.image_name }),
    pull: 'never',
    ...(config.launcher === 'docker' && { entrypoint: [config.python] }),
    command: config.launcher === 'docker' ? command : [config.python, ...command],
    // As plain text, one line for each option.
    env: { ...config.env, COLUMNS: '200', NO_COLOR: '1' },
    ports: [],
    bindAddress: config.bind_address,
    mounts: mounts(config, {}),
    gpus: { kind: 'none' },
    ulimits: [],
    stopGraceSeconds: 0,
  };
}

/** The flags of a start that are not the runner's own: of the file, and of the options of the start. */
export function chosenFlags(
  config: ComfyuiConfig,
  modelName: string,
  options: ComfyuiOptions,
): { readonly ofFile: readonly string[]; readonly ofOptions: readonly string[] } {
  const { flags: ofOptions, replaced } = optionFlags(options);
  return { ofFile: withoutFlags(config.model_configs[modelName]?.args ?? [], replaced), ofOptions };
}

/** What must be there on this host before a launch. */
export function neededFiles(config: ComfyuiConfig, modelName: string): HostPath[] {
  const own = config.model_configs[modelName] ?? {};
  const main =
    config.launcher === 'process'
      ? [{ setting: 'runners.comfyui.comfyui_path', path: mainFile(config) }]
      : [];
  const keys = ['workflow_dir', 'base_dir', 'output_dir', 'input_dir', 'extra_model_paths'] as const;
  return [
    ...main,
    ...keys.flatMap((key) => {
      const path = own[key];
      const setting = `runners.comfyui.model_configs.${modelName}.${key}`;
      return path === undefined ? [] : [{ setting, path, isDirectory: key !== 'extra_model_paths' }];
    }),
  ];
}

/** Without a path, in the working directory of the image. */
function mainFile({ comfyui_path: path }: ComfyuiConfig): string {
  return path === null ? 'main.py' : join(path, 'main.py');
}

function flags(
  config: ComfyuiConfig,
  own: ComfyuiModelConfig,
  { port, listenAddress, modelName, gpuId, options }: ServedPlacement<ComfyuiOptions>,
): string[] {
  const { device, launcher, comfyui_path: path } = config;
  const { ofFile, ofOptions } = chosenFlags(config, modelName, options);
  // Each ComfyUI clears its temporary directory when it starts and ends: those on one checkout must not share it.
  const temporary =
    launcher === 'docker' ? '/tmp' : join(own.base_dir ?? path ?? '', `temp_${modelName}_${gpuId}`);
  return [
    ...['--listen', listenAddress, '--port', String(port), '--disable-auto-launch'],
    ...(device === 'cpu' ? ['--cpu'] : []),
    ...option('--base-directory', own.base_dir),
    ...option('--output-directory', own.output_dir),
    ...option('--input-directory', own.input_dir),
    ...['--temp-directory', temporary],
    ...option('--extra-model-paths-config', own.extra_model_paths),
    ...ofFile,
    ...ofOptions,
  ];
}

function option(flag: string, value: string | undefined): string[] {
  return value === undefined ? [] : [flag, value];
}

/** The model's directories are in the container under the same paths as on the host. */
function mounts(config: ComfyuiConfig, own: ComfyuiModelConfig): Mount[] {
  const same = (path: string | undefined, readOnly: boolean): Mount[] =>
    path === undefined ? [] : [{ hostPath: path, serverPath: path, readOnly }];
  return [
    ...config.mounts.map((mount) => ({
      hostPath: mount.host_path,
      serverPath: mount.server_path,
      readOnly: mount.read_only,
    })),
    ...same(own.base_dir, false),
    ...same(own.output_dir, false),
    ...same(own.input_dir, false),
    ...same(own.workflow_dir, true),
    ...same(own.extra_model_paths, true),
  ];
}
