import * as z from 'zod';
import type { PortClaim } from '../../config/backend-section.js';
import { tcpPort } from '../../config/sections/common.js';

const SINGLE_KEYS = ['http_port', 'grpc_port', 'metrics_port'];

const keys = z.record(z.string(), z.unknown());
const withRange = z.object({ dedicated_ports: z.object({ from: tcpPort, to: tcpPort }) });
const dedicated = z.object({ use_dedicated_server: z.boolean().optional() });
const gpuConfigs = z.object({
  supported_models: z.array(z.string()),
  model_gpu_configs: z.record(z.string(), dedicated),
});

/** The ports of the shared server, and the range of the dedicated ones where some model has one. */
export function claimedPorts(section: unknown): PortClaim[] {
  const values = keys.safeParse(section).data ?? {};
  const singles = SINGLE_KEYS.flatMap((key): PortClaim[] => {
    const port = tcpPort.safeParse(values[key]).data;
    return port === undefined ? [] : [{ key, from: port, to: port }];
  });
  const range = hasDedicatedServers(section) ? withRange.safeParse(section).data : undefined;
  return range ? [...singles, { key: 'dedicated_ports', ...range.dedicated_ports }] : singles;
}

function hasDedicatedServers(section: unknown): boolean {
  const { supported_models: models = [], model_gpu_configs: configs = {} } =
    gpuConfigs.safeParse(section).data ?? {};
  return models.some(
    (model) => (configs[model]?.use_dedicated_server ?? configs.default?.use_dedicated_server) === true,
  );
}
