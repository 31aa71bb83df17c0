import { closestMatch } from 'leven';
import type { HelpOperand, InstalledFlags } from '../argparse-help.js';
import { type Decided, findFlag } from '../decided.js';

/** What follows a flag: what a help text can say, or a number. */
type Operand = HelpOperand | 'whole' | 'number';

const PRECISION = {
  unet: [
    '--fp32-unet',
    '--fp64-unet',
    '--bf16-unet',
    '--fp16-unet',
    '--fp8_e4m3fn-unet',
    '--fp8_e5m2-unet',
    '--fp8_e8m0fnu-unet',
  ],
  vae: ['--fp16-vae', '--fp32-vae', '--bf16-vae'],
  text: [
    '--fp8_e4m3fn-text-enc',
    '--fp8_e5m2-text-enc',
    '--fp16-text-enc',
    '--fp32-text-enc',
    '--bf16-text-enc',
  ],
};

/** Flags of which ComfyUI takes one at the most: each says the opposite of the others, in every version. */
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

/** Every flag of ComfyUI 0.3.39 (`comfy/cli_args.py`) that an operator may give. */
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
  '--fast': { oneOf: ['fp16_accumulation', 'fp8_matrix_mult', 'cublas_ops'], many: true },
  '--enable-cors-header': 'optional',
  '--user-directory': 'text',
  '--front-end-root': 'text',
  '--front-end-version': 'text',
  '--comfy-api-base': 'text',
  '--cpu-vae': 'none',
  '--force-channels-last': 'none',
  '--supports-fp8-compute': 'none',
  '--disable-xformers': 'none',
  '--disable-ipex-optimize': 'none',
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

/** Those of ComfyUI 0.3.39 that a list may hold; of another version, those that it says it has. */
export const COMFYUI_FREE_FLAGS: readonly string[] = Object.keys(OPERANDS);

const GPU = 'the GPU of the placement';

/** What each of these follows from; the runner would be wrong about its server otherwise. */
export const COMFYUI_DECIDED_FLAGS: Decided = {
  '--listen': 'bind_address',
  '--port': 'ports',
  '--cpu': 'device',
  '--cuda-device': GPU,
  '--default-device': GPU,
  '--directml': GPU,
  '--oneapi-device-selector': GPU,
  '--auto-launch': 'the runner',
  '--disable-auto-launch': 'the runner',
  '--windows-standalone-build': 'the runner',
  '--temp-directory': 'the placement',
  '--base-directory': 'base_dir',
  '--output-directory': 'output_dir',
  '--input-directory': 'input_dir',
  '--extra-model-paths-config': 'extra_model_paths',
};

/** Why no list may hold these. */
export const COMFYUI_REFUSED_FLAGS: Decided = {
  '--tls-keyfile': 'this service asks ComfyUI over plain HTTP',
  '--tls-certfile': 'this service asks ComfyUI over plain HTTP',
  '--quick-test-for-ci': 'with it, a server ends at once',
  '--list-feature-flags': 'with it, a server ends at once',
  '--help': 'with it, a server ends at once',
  '--dont-print-server': 'why a server ended is read from what it prints',
};

/** Variables of ComfyUI that the runner sets, besides those of GPUs. */
export const COMFYUI_DECIDED_VARIABLES: Decided = {
  COMFYUI_WORKFLOW_DIR: 'model_configs.<model>.workflow_dir',
};

export interface FlagFault {
  /** Of the item of the list. */
  readonly index: number;
  readonly message: string;
}

/**
 * Whose word counts for which flags there are, and what each takes: that of the table above (`listed`), of the installation
 * (a map), or nobody's, until the installation is asked (`any`): then a fault is what no version takes.
 */
export type Taken = 'listed' | 'any' | InstalledFlags;

/** What is wrong with a list of flags, each item a flag, its value, or both as `--flag=value`; empty when nothing is. */
export function flagFaults(args: readonly string[], taken: Taken = 'listed'): FlagFault[] {
  const faults: FlagFault[] = [];
  const seen: string[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const [name, glued] = split(args[index] ?? '');
    const operand = operandOf(name, taken);
    if (operand === undefined) {
      faults.push({ index, message: refusal(name, taken) });
      continue;
    }
    const rival = GROUPS.find((group) => group.includes(name))?.find(
      (other) => other !== name && seen.includes(other),
    );
    if (rival !== undefined) faults.push({ index, message: `${name} does not go together with ${rival}` });
    seen.push(name);
    const at = index;
    const values = glued === undefined ? valuesAfter(args, index, operand) : [glued];
    if (glued === undefined) index += values.length;
    if (!accepts(operand, values)) faults.push({ index: at, message: `${name} takes ${described(operand)}` });
  }
  return faults;
}

/** A whole item, or what is before its "=". */
const FLAG = /^--[A-Za-z][^\s=]*$/;
/** No value begins like this; a number below 0 does not either. */
const FLAG_START = /^-(-|[A-Za-z])/;

/** The items after a flag that are its values, by what it takes. */
function valuesAfter(args: readonly string[], at: number, operand: Operand): readonly string[] {
  if (operand === 'none') return [];
  const rest = args.slice(at + 1);
  const end = rest.findIndex((each) => FLAG_START.test(each));
  const values = end === -1 ? rest : rest.slice(0, end);
  return operand === 'any' || isMany(operand) ? values : values.slice(0, 1);
}

function isMany(operand: Operand): boolean {
  return typeof operand === 'object' && operand.many === true;
}

function operandOf(name: string, taken: Taken): Operand | undefined {
  if (!FLAG.test(name) || decision(name) !== undefined) return undefined;
  if (taken === 'any') return 'any';
  if (taken !== 'listed') return taken.get(name);
  return Object.hasOwn(OPERANDS, name) ? OPERANDS[name] : undefined;
}

/** Why `name`, or the flag that it is short for, is in no list. */
function decision(name: string): string | undefined {
  if (Object.hasOwn(OPERANDS, name) || !name.startsWith('--')) return undefined;
  const own = findFlag(name, COMFYUI_DECIDED_FLAGS);
  if (own) return `${own.subject} is not for args: it follows from ${COMFYUI_DECIDED_FLAGS[own.flag] ?? ''}`;
  const refused = findFlag(name, COMFYUI_REFUSED_FLAGS);
  if (!refused) return undefined;
  const why = COMFYUI_REFUSED_FLAGS[refused.flag] ?? '';
  return `${refused.subject} is not among the flags that are allowed: ${why}`;
}

/** The list without the flags of `group`, none of which takes a value. */
export function withoutFlags(args: readonly string[], group: readonly string[]): readonly string[] {
  return args.filter((arg) => !group.includes(arg));
}

function split(item: string): [string, string?] {
  const at = item.startsWith('--') ? item.indexOf('=') : -1;
  return at === -1 ? [item] : [item.slice(0, at), item.slice(at + 1)];
}

function refusal(name: string, taken: Taken): string {
  const decided = decision(name);
  if (decided !== undefined) return decided;
  if (!FLAG.test(name)) return `"${name}" belongs to no flag: one list item each for a flag and its value`;
  if (typeof taken === 'string')
    return `${name} is not among the flags that are allowed (docs/backends/comfyui.md lists them)`;
  return `${name} is unknown to this ComfyUI; the nearest flag that it has is ${nearestOf(name, taken)}`;
}

/** Of those that a list may hold. */
function nearestOf(name: string, installed: InstalledFlags): string {
  const known = [...installed.keys()].filter((each) => decision(each) === undefined);
  return closestMatch(name, known) ?? 'none';
}

function accepts(operand: Operand, values: readonly string[]): boolean {
  const [value] = values;
  if (typeof operand === 'object') {
    const { oneOf, optional, many } = operand;
    if (value === undefined) return optional === true || many === true;
    return values.every((each) => oneOf.includes(each));
  }
  if (operand === 'any' || operand === 'optional') return true;
  if (operand === 'none') return value === undefined;
  if (value === undefined) return false;
  switch (operand) {
    case 'whole':
      return /^\d{1,6}$/.test(value);
    case 'number':
      return /^\d{1,6}(\.\d{1,6})?$/.test(value);
    case 'text':
      return value !== '';
  }
}

function described(operand: Operand): string {
  if (typeof operand === 'object') {
    const { oneOf, optional, many } = operand;
    return `${optional || many ? 'nothing, or ' : ''}${many ? 'some' : 'one'} of ${oneOf.join(', ')}`;
  }
  return {
    ...{ none: 'no value', whole: 'a whole number', number: 'a number', text: 'a value' },
    ...{ optional: 'one value at the most', any: 'values' },
  }[operand];
}
