import { type LaunchSpec, PortInUseError } from '../launcher.js';
import { holderInWords, isPortTaken, portHolders, portInUseMessage } from '../../host/ports.js';
import type { Engine } from './engine.js';

const WILDCARDS = new Set(['0.0.0.0', '::', '']);

function collide(a: string, b: string): boolean {
  return a === b || WILDCARDS.has(a) || WILDCARDS.has(b);
}

/** Name of the running container that publishes `port` where `address` would collide with it. */
async function publisherOf(
  engine: Engine,
  address: string,
  port: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const running = await engine.call(signal, (docker, abortSignal) => docker.listContainers({ abortSignal }));
  const holder = running.find((container) =>
    container.Ports.some(
      (each) => each.Type === 'tcp' && each.PublicPort === port && collide(each.IP, address),
    ),
  );
  return holder?.Names[0]?.replace(/^\//, '');
}

/** A PortInUseError that names who has the port: a container, or else a process of the host. */
export async function portInUse(
  engine: Engine,
  spec: LaunchSpec,
  port: number,
  signal: AbortSignal,
): Promise<PortInUseError> {
  const container = await publisherOf(engine, spec.bindAddress, port, signal);
  if (container !== undefined) {
    const message = portInUseMessage(port, `container ${container}`);
    return new PortInUseError(message, { port, container, name: spec.name });
  }
  const holders = await portHolders(port);
  return new PortInUseError(portInUseMessage(port, holderInWords(holders)), {
    port,
    holders,
    name: spec.name,
  });
}

/**
 * @throws PortInUseError when a container or a process of the host has one of the ports. A process is not seen where
 * this service has a network of its own; the Engine then refuses the start.
 */
export async function requirePorts(engine: Engine, spec: LaunchSpec, signal: AbortSignal): Promise<void> {
  for (const { port } of spec.ports) {
    const isTaken =
      (await publisherOf(engine, spec.bindAddress, port, signal)) !== undefined ||
      (await isPortTaken(spec.bindAddress, port));
    if (isTaken) throw await portInUse(engine, spec, port, signal);
  }
}
