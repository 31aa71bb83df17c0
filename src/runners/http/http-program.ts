import type { HostPath } from '../../launchers/host-paths.js';
import type { Launcher } from '../../launchers/launcher.js';
import { mountedPaths } from '../placement-server/placement-server-section.js';
import type { ServedPlacement, ServerProgram } from '../placement-server/served-placement.js';
import { itemsOf, programPaths } from '../program-paths.js';
import type { HttpModel } from './http-section.js';
import { fillTemplate, type LaunchPlaceholder, OPTION_PREFIX, PORT_PREFIX } from './http-template.js';

/** The program of a model: each item of its YAML stays one argument, whatever the values in it hold. */
export function httpProgram(
  model: HttpModel,
  launcher: Launcher['kind'],
  placement: ServedPlacement,
): Pick<ServerProgram, 'image' | 'entrypoint' | 'command' | 'programSetting' | 'env'> {
  const values = valuesOf(placement);
  const args = model.args.map((text) => fillTemplate(text, values));
  const env = Object.fromEntries(
    Object.entries(model.env).map(([key, text]) => [key, fillTemplate(text, values)]),
  );
  const { command = [], image_name: image } = model;
  const programSetting = `${entryKey(placement.modelName)}.command`;
  if (launcher === 'process') return { command: [...command, ...args], programSetting, env };
  return {
    ...(image !== undefined && { image }),
    ...(command.length > 0 && { entrypoint: command, programSetting }),
    command: args,
    env,
  };
}

/** What the program of a model needs on the host: what is mounted, and, of a process, the file that it is to run. */
export function httpPaths(model: HttpModel, launcher: Launcher['kind'], modelName: string): HostPath[] {
  const { command = [], args, mounts = [] } = model;
  const key = entryKey(modelName);
  const items = [...itemsOf(command, `${key}.command`), ...itemsOf(args, `${key}.args`)];
  return [...mountedPaths(mounts, `${key}.mounts`), ...(launcher === 'process' ? programPaths(items) : [])];
}

function entryKey(modelName: string): string {
  return `runners.http.models.${modelName}`;
}

function valuesOf(placement: ServedPlacement): ReadonlyMap<string, string> {
  const { port, ports, listenAddress, modelName, gpuIds, gpus, options } = placement;
  const gpuId = String(gpuIds[0] ?? placement.gpuId);
  const launch: Record<LaunchPlaceholder, string> = {
    port: String(port),
    host: listenAddress,
    model: modelName,
    gpu_id: gpuId,
    // As the server is pinned: by its index where its UUID is not known.
    gpu_uuid: gpus[0]?.uuid ?? gpuId,
  };
  return new Map([
    ...Object.entries(launch),
    ...[...ports].map(([name, number]): [string, string] => [`${PORT_PREFIX}${name}`, String(number)]),
    ...Object.entries(options).map(([name, value]): [string, string] => [
      `${OPTION_PREFIX}${name}`,
      String(value),
    ]),
  ]);
}
