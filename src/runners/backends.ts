import type { ConfigOf } from '../config/schema.js';
import { backend } from './backend.js';
import { COMFYUI_DECIDED_VARIABLES } from './comfyui/comfyui-flags.js';
import { comfyuiOptionsSchema } from './comfyui/comfyui-options.js';
import { ComfyuiRunner } from './comfyui/comfyui-runner.js';
import { comfyuiSection } from './comfyui/comfyui-section.js';
import { HTTP_WITHHELD } from './http/http-decided.js';
import { HttpRunner } from './http/http-runner.js';
import { httpSection } from './http/http-section.js';
import { claimedPorts } from './triton/claimed-ports.js';
import { TRITON_DECIDED_VARIABLES } from './triton/triton-flags.js';
import { tritonOptionsSchema } from './triton/triton-options.js';
import { TritonRunner } from './triton/triton-runner.js';
import { tritonSection } from './triton/triton-section.js';
import { VLLM_DECIDED_VARIABLES } from './vllm/vllm-flags.js';
import { vllmOptions } from './vllm/vllm-options.js';
import { VllmRunner } from './vllm/vllm-runner.js';
import { vllmSection } from './vllm/vllm-section.js';

/** Every backend, one row each: the configuration, the runners and the API's document are made of these. */
export const backends = [
  backend({
    name: 'triton',
    section: tritonSection,
    options: tritonOptionsSchema,
    runner: TritonRunner,
    modelSettings: { key: 'model_gpu_configs', defaultEntry: 'default' },
    portsOf: claimedPorts,
    withheld: Object.keys(TRITON_DECIDED_VARIABLES),
  }),
  backend({
    name: 'comfyui',
    section: comfyuiSection,
    options: comfyuiOptionsSchema,
    runner: ComfyuiRunner,
    modelSettings: { key: 'model_configs' },
    withheld: Object.keys(COMFYUI_DECIDED_VARIABLES),
  }),
  backend({ name: 'http', section: httpSection, runner: HttpRunner, withheld: HTTP_WITHHELD }),
  backend({
    name: 'vllm',
    section: vllmSection,
    options: vllmOptions,
    runner: VllmRunner,
    withheld: Object.keys(VLLM_DECIDED_VARIABLES),
  }),
] as const;

/** What some backend decides: no server that runs as a process inherits it, whichever its backend. */
export const withheldVariables: readonly string[] = backends.flatMap(({ withheld = [] }) => withheld);

/** The whole configuration: the service's and that of every backend. */
export type FullConfig = ConfigOf<typeof backends>;
