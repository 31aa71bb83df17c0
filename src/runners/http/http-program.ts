import type { Launcher } from '../../launchers/launcher.js';
import type { ServedPlacement, ServerProgram } from '../placement-server/served-placement.js';
import type { HttpModel } from './http-section.js';
import { fillTemplate, type LaunchPlaceholder, OPTION_PREFIX, PORT_PREFIX } from './http-template.js';

/** The program of a model: each item of its YAML stays one argument, whatever the values in it hold. */
export function httpProgram(
  model: HttpModel,
  launcher: Launcher['kind'],
  placement: ServedPlacement,
): Pick<ServerProgram, 'image' | 'entrypoint' | 'command' | 'env'> {
  const values = valuesOf(placement);
  const args = model.args.map((text) => fillTemplate(text, values));
  const env = Object.fromEntries(
    Object.entries(model.env).map(([key, text]) => [key, fillTemplate(text, values)]),
  );
  const { command = [], image_name: image } = model;
  if (launcher === 'process') return { command: [...command, ...args], env };
  return {
    ...(image !== undefined && { image }),
    ...(command.length > 0 && { entrypoint: command }),
    command: args,
    env,
  };
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
