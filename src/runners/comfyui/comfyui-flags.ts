/** What follows a flag: nothing, a number, one of several words (none of them, too, where `optional`), or any text. */
type Operand = 'none' | 'whole' | 'number' | 'text' | { readonly oneOf: readonly string[]; optional?: true };

const PRECISION = {
  unet: ['--fp32-unet', '--fp64-unet', '--bf16-unet', '--fp16-unet', '--fp8_e4m3fn-unet', '--fp8_e5m2-unet'],
  vae: ['--fp16-vae', '--fp32-vae', '--bf16-vae'],
  text: [
    '--fp8_e4m3fn-text-enc',
    '--fp8_e5m2-text-enc',
    '--fp16-text-enc',
    '--fp32-text-enc',
    '--bf16-text-enc',
  ],
};

/** Flags of which ComfyUI takes one at the most. */
const GROUPS: readonly (readonly string[])[] = [
  ['--gpu-only', '--highvram', '--normalvram', '--lowvram', '--novram'],
  ['--cuda-malloc', '--disable-cuda-malloc'],
  ['--force-fp32', '--force-fp16'],
  PRECISION.unet,
  PRECISION.vae,
  PRECISION.text,
  ['--cache-classic', '--cache-lru', '--cache-none'],
  [
    '--use-split-cross-attention',
    '--use-quad-cross-attention',
    '--use-pytorch-cross-attention',
    '--use-sage-attention',
    '--use-flash-attention',
  ],
  ['--force-upcast-attention', '--dont-upcast-attention'],
];

/** Those that say where models are kept; ComfyUI refuses them together with `--cpu`. */
export const VRAM_FLAGS: readonly string[] = GROUPS[0] ?? [];

export const PREVIEW_METHODS = ['none', 'auto', 'latent2rgb', 'taesd'] as const;

/** Every flag an operator may give (ComfyUI's `comfy/cli_args.py`), beyond those the runner sets itself. */
const OPERANDS: Readonly<Record<string, Operand>> = {
  ...Object.fromEntries(
    GROUPS.flat()
      .filter((flag) => flag !== '--cache-lru')
      .map((flag): [string, Operand] => [flag, 'none']),
  ),
  '--cache-lru': 'whole',
  '--reserve-vram': 'number',
  '--max-upload-size': 'number',
  '--preview-size': 'whole',
  '--preview-method': { oneOf: PREVIEW_METHODS },
  '--verbose': { oneOf: ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'], optional: true },
  '--default-hashing-function': { oneOf: ['md5', 'sha1', 'sha256', 'sha512'] },
  '--fast': { oneOf: ['fp16_accumulation', 'fp8_matrix_mult', 'cublas_ops'], optional: true },
  '--enable-cors-header': 'text',
  '--user-directory': 'text',
  '--front-end-root': 'text',
  '--cpu-vae': 'none',
  '--force-channels-last': 'none',
  '--supports-fp8-compute': 'none',
  '--disable-xformers': 'none',
  '--async-offload': 'none',
  '--disable-smart-memory': 'none',
  '--deterministic': 'none',
  '--mmap-torch-files': 'none',
  '--disable-metadata': 'none',
  '--disable-all-custom-nodes': 'none',
  '--disable-api-nodes': 'none',
  '--multi-user': 'none',
  '--enable-compress-response-body': 'none',
  '--log-stdout': 'none',
};

/** What each of these follows from; the runner would be wrong about its server otherwise. */
const SET_BY_RUNNER: Readonly<Record<string, string>> = {
  '--listen': 'bind_address',
  '--port': 'ports',
  '--cpu': 'device',
  '--cuda-device': 'the GPU of the placement',
  '--auto-launch': 'the runner',
  '--disable-auto-launch': 'the runner',
  '--temp-directory': 'the placement',
  '--base-directory': 'base_dir',
  '--output-directory': 'output_dir',
  '--input-directory': 'input_dir',
  '--extra-model-paths-config': 'extra_model_paths',
};

export interface FlagFault {
  /** Of the item of the list. */
  readonly index: number;
  readonly message: string;
}

/** What is wrong with a list of flags, each item a flag, its value, or both as `--flag=value`; empty when nothing is. */
export function flagFaults(args: readonly string[]): FlagFault[] {
  const faults: FlagFault[] = [];
  const seen: string[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const [name, glued] = split(args[index] ?? '');
    const operand = Object.hasOwn(OPERANDS, name) ? OPERANDS[name] : undefined;
    if (operand === undefined) {
      faults.push({ index, message: refusal(name) });
      continue;
    }
    const rival = GROUPS.find((group) => group.includes(name))?.find((other) => seen.includes(other));
    if (rival !== undefined) faults.push({ index, message: `${name} does not go together with ${rival}` });
    seen.push(name);
    const at = index;
    const next = args[index + 1];
    const value = glued ?? (operand === 'none' || next?.startsWith('--') ? undefined : next);
    if (value !== undefined && glued === undefined) index += 1;
    if (!accepts(operand, value)) faults.push({ index: at, message: `${name} takes ${described(operand)}` });
  }
  return faults;
}

/** The list without the flags of `group`, none of which takes a value. */
export function withoutFlags(args: readonly string[], group: readonly string[]): readonly string[] {
  return args.filter((arg) => !group.includes(arg));
}

function split(item: string): [string, string?] {
  const at = item.startsWith('--') ? item.indexOf('=') : -1;
  return at === -1 ? [item] : [item.slice(0, at), item.slice(at + 1)];
}

function refusal(name: string): string {
  if (Object.hasOwn(SET_BY_RUNNER, name))
    return `${name} is not for args: it follows from ${SET_BY_RUNNER[name]}`;
  return name.startsWith('--')
    ? `${name} is not among the flags that are allowed (docs/backends/comfyui.md lists them)`
    : `"${name}" belongs to no flag: one list item each for a flag and its value`;
}

function accepts(operand: Operand, value: string | undefined): boolean {
  if (operand === 'none') return value === undefined;
  if (typeof operand === 'object')
    return value === undefined ? operand.optional === true : operand.oneOf.includes(value);
  if (value === undefined) return false;
  switch (operand) {
    case 'whole':
      return /^\d{1,6}$/.test(value);
    case 'number':
      return /^\d{1,6}(\.\d{1,6})?$/.test(value);
    case 'text':
      return /^[^\0]+$/.test(value);
  }
}

function described(operand: Operand): string {
  if (typeof operand === 'object')
    return `${operand.optional ? 'nothing, or ' : ''}one of ${operand.oneOf.join(', ')}`;
  return { none: 'no value', whole: 'a whole number', number: 'a number', text: 'a value' }[operand];
}
