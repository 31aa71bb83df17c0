import { isTrue, parseFlags, UsageError } from './flags.js';

/** Where a service listens; undefined where it is switched off. */
export interface Endpoint {
  address: string;
  port: number;
}

/** What the command line asks of the stand-in. */
export interface ServerOptions {
  repositories: string[];
  /** Models to load before any port opens; `*` for all. */
  loadModels: string[];
  http: Endpoint | undefined;
  grpc: Endpoint | undefined;
  metrics: Endpoint | undefined;
  exitTimeoutSeconds: number;
  strictReadiness: boolean;
  exitOnError: boolean;
  /** Flags of Triton that have no effect here. */
  withoutEffect: string[];
}

const EFFECTIVE = new Set([
  ...['model-repository', 'model-store', 'model-control-mode', 'load-model', 'exit-timeout-secs'],
  ...['strict-readiness', 'exit-on-error', 'allow-http', 'http-port', 'http-address', 'allow-grpc'],
  ...['grpc-port', 'grpc-address', 'allow-metrics', 'metrics-port', 'metrics-address'],
]);
/** Flags that protect something: to accept them and do nothing would be a lie. */
const REFUSED = ['http-restricted-api', 'grpc-restricted-protocol', 'grpc-use-ssl', 'grpc-use-ssl-mutual'];
const CONTROL_MODES = ['none', 'poll', 'explicit'];

/** Reads the command line of `tritonserver`. Throws UsageError. */
export function parseOptions(args: readonly string[]): ServerOptions {
  const flags = parseFlags(args);
  const last = (name: string): string | undefined => flags.get(name)?.at(-1);
  const allowed = (name: string): boolean => isTrue(last(name) ?? 'true');
  const endpoint = (service: string, port: number): Endpoint | undefined =>
    allowed(`allow-${service}`)
      ? {
          address: last(`${service}-address`) ?? '0.0.0.0',
          port: portOf(last(`${service}-port`), service, port),
        }
      : undefined;
  if (flags.has('help')) throw new UsageError('');
  const refused = REFUSED.find((name) => flags.has(name));
  if (refused !== undefined) {
    throw new UsageError(`Bad option: "--${refused}".\nThe stand-in can't restrict or encrypt anything.`);
  }
  checkControlMode(last('model-control-mode') ?? 'none', flags.has('load-model'));
  return {
    repositories: [...(flags.get('model-repository') ?? []), ...(flags.get('model-store') ?? [])],
    loadModels: flags.get('load-model') ?? [],
    http: endpoint('http', 8000),
    grpc: endpoint('grpc', 8001),
    metrics: endpoint('metrics', 8002),
    exitTimeoutSeconds: Math.max(Number(last('exit-timeout-secs') ?? 30), 0),
    strictReadiness: allowed('strict-readiness'),
    exitOnError: allowed('exit-on-error'),
    withoutEffect: [...flags.keys()].filter((name) => !EFFECTIVE.has(name)),
  };
}

function checkControlMode(mode: string, loadsModels: boolean): void {
  if (!CONTROL_MODES.includes(mode)) {
    throw new UsageError('Bad option: "--model-control-mode".\ninvalid argument for --model-control-mode');
  }
  if (mode === 'explicit') return;
  throw new UsageError(
    loadsModels
      ? "Error: Use of '--load-model' requires setting '--model-control-mode=explicit' as well."
      : `The stand-in plays --model-control-mode=explicit only, not "${mode}".`,
  );
}

function portOf(text: string | undefined, service: string, otherwise: number): number {
  const port = text === undefined ? otherwise : Number(text);
  if (port >= 0 && port <= 65535) return port;
  throw new UsageError(`Bad option: "--${service}-port".\nInvalid option value. Got ${port}`);
}
