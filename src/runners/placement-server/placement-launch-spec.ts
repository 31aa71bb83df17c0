import { bytesOf } from '../../config/sections/common.js';
import type { HostPath } from '../../launchers/host-paths.js';
import type { Launcher, LaunchSpec, StopSignal } from '../../launchers/launcher.js';
import { labelledLaunch } from '../launch-aspects.js';
import { settingsLabel } from '../launched-as.js';
import { deviceId } from '../visible-gpus.js';
import { mountedPaths, type PlacementServerConfig } from './placement-server-section.js';
import { labelsOf } from './server-labels.js';
import type { ServedPlacement, ServerProgram } from './served-placement.js';

/** What the base knows of a server to be, besides its program. */
export interface ServerFrame {
  readonly name: string;
  readonly backend: string;
  readonly launcher: Launcher['kind'];
  readonly placement: ServedPlacement;
  readonly device: 'gpu' | 'cpu';
  readonly stopGraceSeconds: number;
  readonly stopSignal: StopSignal;
  /** Variables that the server inherits from nowhere. */
  readonly withheld: readonly string[];
}

/** The launch of `program` in its frame; what the program leaves open is as `config` has it. */
export function placementLaunchSpec(
  config: PlacementServerConfig,
  frame: ServerFrame,
  program: ServerProgram,
): LaunchSpec {
  const { backend, placement } = frame;
  const image = program.image ?? config.image_name;
  const shmSizeBytes = program.shmSizeBytes ?? bytesOrNothing(config.shm_size);
  const memoryBytes = program.memoryBytes ?? bytesOrNothing(config.memory_limit);
  const devices = placement.gpus.map(deviceId);
  const isOnCpu = frame.device === 'cpu';
  const spec: LaunchSpec = {
    name: frame.name,
    labels: { ...labelsOf({ backend, ...placement }), ...settingsLabel(placement.settings) },
    ...(image !== null && { image }),
    pull: program.pull ?? config.pull,
    ...(program.entrypoint !== undefined && { entrypoint: program.entrypoint }),
    command: program.command,
    ...(program.programSetting !== undefined && { programSetting: program.programSetting }),
    env: { ...config.env, ...program.env },
    withheld: frame.withheld,
    ports: [...placement.ports].map(([name, port]) => ({ name, port })),
    bindAddress: config.bind_address,
    mounts:
      program.mounts ??
      config.mounts.map((mount) => ({
        hostPath: mount.host_path,
        serverPath: mount.server_path,
        readOnly: mount.read_only,
      })),
    hostPaths: hostPaths(config, backend, program),
    gpus: isOnCpu ? { kind: 'none' } : { kind: 'devices', ids: devices },
    ...(shmSizeBytes !== undefined && { shmSizeBytes }),
    ...(memoryBytes !== undefined && { memoryBytes }),
    ulimits: program.ulimits ?? config.ulimits,
    stopGraceSeconds: frame.stopGraceSeconds,
    stopSignal: program.stopSignal ?? frame.stopSignal,
  };
  const configured = program.configuredCommand ?? program.command;
  return labelledLaunch(spec, isOnCpu ? 'none' : devices, frame.launcher, configured);
}

/** A path has one key: what the program names has its own. */
function hostPaths(
  config: PlacementServerConfig,
  backend: string,
  { mounts, hostPaths: named = [] }: ServerProgram,
): HostPath[] {
  const mounted = mounts ? [] : mountedPaths(config.mounts, `runners.${backend}.mounts`);
  // What is in a mount is missing with it: the mount first.
  return [...mounted.filter(({ path }) => !named.some((each) => each.path === path)), ...named];
}

function bytesOrNothing(size: string | number | null): number | undefined {
  return size === null ? undefined : bytesOf(size);
}
