import { access, constants, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { fileWork } from '../../common/files/file-work.js';
import type { GpuAccess, LaunchSpec } from '../launcher.js';
import { inheritedEnvironment } from './inherited-environment.js';

/**
 * What a server's environment says about its launch, so that it can be found again when the service died between the
 * spawn and the record. All begin with `MIC_`, which no server inherits: a server's own children do carry them.
 */
export const MARKER = {
  /** The state directory of the service that launched it. */
  owner: 'MIC_LAUNCH_OWNER',
  name: 'MIC_LAUNCH_NAME',
  id: 'MIC_LAUNCH_ID',
  /** JSON. */
  labels: 'MIC_LAUNCH_LABELS',
  stopSignal: 'MIC_LAUNCH_STOP_SIGNAL',
} as const;

function gpuVariables(gpus: GpuAccess): Record<string, string> {
  switch (gpus.kind) {
    case 'all':
      return { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' };
    case 'devices':
      return { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: gpus.ids.join(',') };
    case 'none':
      // Not the empty string, which some programs take for "not set".
      return { CUDA_VISIBLE_DEVICES: '-1' };
  }
}

/** The environment of a server: what it inherits of this service's own (without `withheld`), the GPUs', then the spec's, then the marker. */
export function serverEnvironment(
  spec: LaunchSpec,
  marker: { readonly owner: string; readonly id: string; readonly labels: Readonly<Record<string, string>> },
  withheld: readonly string[],
): Record<string, string> {
  return {
    ...inheritedEnvironment(process.env, [...withheld, ...(spec.withheld ?? [])]),
    ...gpuVariables(spec.gpus),
    ...spec.env,
    [MARKER.owner]: marker.owner,
    [MARKER.name]: spec.name,
    [MARKER.id]: marker.id,
    [MARKER.labels]: JSON.stringify(marker.labels),
    [MARKER.stopSignal]: spec.stopSignal ?? 'SIGTERM',
  };
}

/** The file that `program` runs, by the rules of execvp; `undefined` when there is none. @throws FilesStuckError */
export async function findProgram(program: string, searchPath: string): Promise<string | undefined> {
  const candidates = program.includes('/')
    ? [isAbsolute(program) ? program : resolve(program)]
    : searchPath.split(delimiter).map((directory) => join(directory === '' ? '.' : directory, program));
  for (const candidate of candidates) {
    if (await fileWork.run(candidate, () => isProgram(candidate))) return candidate;
  }
  return undefined;
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
