import { z } from 'zod';
import { tcpPort } from './sections/common.js';

/** The ports that one key gives to servers. */
interface PortClaim {
  readonly path: readonly string[];
  readonly from: number;
  readonly to: number;
  /** One port that a backend has for itself: it compares these on its own. */
  readonly isSingle: boolean;
}

/** A key whose ports another key has, too. */
export interface PortOverlap {
  readonly path: string[];
  readonly message: string;
}

const SINGLE_KEYS = ['http_port', 'grpc_port', 'metrics_port'];
const RANGE_KEYS = ['dedicated_ports', 'ports'];

const sections = z.record(z.string(), z.unknown());
const range = z.object({ from: tcpPort, to: tcpPort });
const dedicated = z.object({ use_dedicated_server: z.boolean().optional() });
const switchedOff = z.object({ enabled: z.literal(false) });
const gpuConfigs = z.object({
  supported_models: z.array(z.string()),
  model_gpu_configs: z.record(z.string(), dedicated),
});

/** Overlaps between the ports of backends that are offered and have models; what is not valid by itself is passed over. */
export function portOverlaps(
  runners: Readonly<Record<string, unknown>>,
  hasModels: (section: unknown) => boolean,
): PortOverlap[] {
  const claims = Object.entries(runners)
    .filter(([, section]) => !switchedOff.safeParse(section).success && hasModels(section))
    .flatMap(([backend, section]) => claimsOf(backend, section));
  return claims.flatMap((claim, index) =>
    claims.slice(0, index).flatMap((earlier) => (overlap(claim, earlier) ? [overlapOf(claim, earlier)] : [])),
  );
}

function claimsOf(backend: string, section: unknown): PortClaim[] {
  const keys = sections.safeParse(section).data ?? {};
  const singles = SINGLE_KEYS.flatMap((key): PortClaim[] => {
    const port = tcpPort.safeParse(keys[key]).data;
    return port === undefined
      ? []
      : [{ path: ['runners', backend, key], from: port, to: port, isSingle: true }];
  });
  const ranges = RANGE_KEYS.filter(
    (key) => key !== 'dedicated_ports' || hasDedicatedServers(section),
  ).flatMap((key): PortClaim[] => {
    const ports = range.safeParse(keys[key]).data;
    return ports ? [{ path: ['runners', backend, key], ...ports, isSingle: false }] : [];
  });
  return [...singles, ...ranges];
}

function hasDedicatedServers(section: unknown): boolean {
  const { supported_models: models = [], model_gpu_configs: configs = {} } =
    gpuConfigs.safeParse(section).data ?? {};
  return models.some(
    (model) => (configs[model]?.use_dedicated_server ?? configs.default?.use_dedicated_server) === true,
  );
}

function overlap(one: PortClaim, other: PortClaim): boolean {
  const isOwnMatter = one.isSingle && other.isSingle && one.path[1] === other.path[1];
  return !isOwnMatter && one.from <= other.to && other.from <= one.to;
}

function overlapOf(claim: PortClaim, earlier: PortClaim): PortOverlap {
  const message = `${portsOf(claim)} overlaps ${earlier.path.join('.')} (${portsOf(earlier)}): give each its own ports`;
  return { path: [...claim.path], message };
}

function portsOf({ from, to }: PortClaim): string {
  return from === to ? String(from) : `${from}-${to}`;
}
