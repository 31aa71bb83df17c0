import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { fileWork } from '../../common/files/file-work.js';
import { knownName } from '../../host/process-name.js';
import { environmentOf, listPids } from '../../host/process-table.js';
import { LaunchFailedError } from '../launcher.js';
import type { Engine } from './engine.js';
import type { HostView } from './host-view.js';

/** What the Engine looks for on its own PATH when it is asked for GPUs. Source: moby, `daemon/nvidia_linux.go`. */
const HOOK = 'nvidia-container-runtime-hook';
/** Where a daemon that hides its environment has its programs. */
const USUAL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const info = z.object({
  Runtimes: z.record(z.string(), z.unknown()).nullish(),
  DiscoveredDevices: z.array(z.object({ ID: z.string().optional() })).nullish(),
});

/**
 * Signs that the Engine can hand out GPUs: its runtimes, the devices that it has found, or the toolkit's hook. Where this
 * service sees none of the host's files, their want says nothing.
 * @throws LaunchFailedError where there are none; EngineUnavailableError
 */
export async function requireGpuToolkit(engine: Engine, view: HostView, signal: AbortSignal): Promise<void> {
  const told = info.safeParse(await engine.find(signal, (docker) => docker.info() as Promise<unknown>));
  if (!told.success) return;
  const { Runtimes: runtimes, DiscoveredDevices: devices } = told.data;
  if (Object.keys(runtimes ?? {}).some((name) => name.includes('nvidia'))) return;
  if (devices?.some(({ ID: id }) => id?.startsWith('nvidia.com/'))) return;
  if (!(await view.isShared(signal)) || (await isHookThere())) return;
  throw new LaunchFailedError(
    'Docker shows no sign of the NVIDIA Container Toolkit (no runtime "nvidia", no nvidia-container-runtime-hook), and containers are to get GPUs: install it, run `nvidia-ctk runtime configure --runtime=docker` and restart Docker.',
  );
}

async function isHookThere(): Promise<boolean> {
  const daemons = (await listPids()).filter((pid) => knownName(pid) === 'dockerd');
  const paths = await Promise.all(daemons.map(async (pid) => (await environmentOf(pid)).get('PATH') ?? ''));
  const directories = [...paths, process.env.PATH ?? '', USUAL_PATH].join(':').split(':');
  const looks = [...new Set(directories)].filter(Boolean).map((directory) =>
    fileWork
      .run(directory, () => access(join(directory, HOOK), constants.X_OK))
      .then(
        () => true,
        () => false,
      ),
  );
  return (await Promise.all(looks)).includes(true);
}
