import { canonicalJson, isRecord } from '../../common/canonical-json.js';
import type { ServerInfo } from '../../launchers/launcher.js';
import { BACKEND_LABEL, MODEL_LABEL } from '../../launchers/launcher.js';
import type { DeploymentOptions, GpuRef } from '../deployment.js';
import { addedNames, MAIN_PORT, type ServerPorts } from './server-ports.js';

/** Number of the placement that a server is for. */
const GPU_LABEL = 'model-inference-client.gpu';
/** All GPUs it was pinned to, `0=GPU-…,1=` with the UUIDs that were known. */
const GPUS_LABEL = 'model-inference-client.gpus';
const PORT_LABEL = 'model-inference-client.port';
/** Those besides it, `grpc=18501,metrics=18502`; of a server with one port, there is no such label. */
const PORTS_LABEL = 'model-inference-client.ports';
/** What it was started with, as canonical JSON. */
const OPTIONS_LABEL = 'model-inference-client.options';

/** A server as it was launched, kept in its labels: found again whatever the configuration says by then. */
export interface LabelledServer {
  readonly backend: string;
  readonly modelName: string;
  readonly gpuId: number;
  readonly gpus: readonly GpuRef[];
  readonly ports: ServerPorts;
  readonly options: DeploymentOptions;
}

export function labelsOf(server: LabelledServer): Record<string, string> {
  const added = addedNames(server.ports).map((name) => `${name}=${server.ports.get(name) ?? 0}`);
  return {
    [BACKEND_LABEL]: server.backend,
    [MODEL_LABEL]: server.modelName,
    [GPU_LABEL]: String(server.gpuId),
    [GPUS_LABEL]: server.gpus.map(({ id, uuid }) => `${id}=${uuid ?? ''}`).join(','),
    [PORT_LABEL]: String(server.ports.get(MAIN_PORT) ?? 0),
    ...(added.length > 0 && { [PORTS_LABEL]: added.join(',') }),
    [OPTIONS_LABEL]: canonicalJson(server.options),
  };
}

/** `undefined` where the labels are not those of such a server. */
export function labelled(labels: ServerInfo['labels']): LabelledServer | undefined {
  const backend = labels[BACKEND_LABEL];
  const modelName = labels[MODEL_LABEL];
  const gpuId = wholeNumber(labels[GPU_LABEL]);
  const ports = portsIn(labels);
  const options = parseOptions(labels[OPTIONS_LABEL]);
  const gpus = parseGpus(labels[GPUS_LABEL]);
  if (!backend || !modelName || gpuId === undefined || !ports || !options || !gpus) return undefined;
  return { backend, modelName, gpuId, gpus, ports, options };
}

/** Whether a server with these labels was launched for this placement. */
export function isServerOf(
  labels: ServerInfo['labels'],
  { backend, modelName, gpuId }: Pick<LabelledServer, 'backend' | 'modelName' | 'gpuId'>,
): boolean {
  const found = labelled(labels);
  return found?.backend === backend && found.modelName === modelName && found.gpuId === gpuId;
}

/** The ports of a server of any backend with one server per placement; `undefined` for others. */
export function portsIn(labels: ServerInfo['labels']): ServerPorts | undefined {
  const main = wholeNumber(labels[PORT_LABEL]);
  const added = parsePorts(labels[PORTS_LABEL]);
  return main && added ? new Map([[MAIN_PORT, main], ...added]) : undefined;
}

function parsePorts(
  text: string | undefined,
): readonly (readonly [name: string, port: number])[] | undefined {
  if (text === undefined) return [];
  const ports = text.split(',').map((entry) => /^([A-Za-z]\w*)=(\d{1,5})$/.exec(entry));
  if (ports.includes(null)) return undefined;
  return ports.map((match) => [match?.[1] ?? '', Number(match?.[2])]);
}

function parseOptions(text: string | undefined): DeploymentOptions | undefined {
  try {
    const value: unknown = JSON.parse(text ?? '');
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined; // not written by us as it stands
  }
}

function parseGpus(text: string | undefined): readonly GpuRef[] | undefined {
  if (text === undefined) return undefined;
  const gpus = text.split(',').map((entry) => /^(\d{1,4})=(.*)$/.exec(entry));
  if (gpus.includes(null)) return undefined;
  return gpus.map((match) => ({
    id: Number(match?.[1]),
    uuid: match?.[2] === '' ? null : (match?.[2] ?? null),
  }));
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,5}$/.test(text) ? Number(text) : undefined;
}
