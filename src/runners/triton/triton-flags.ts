import { assignmentFaults, type Decided, type DecidedFault, flagFaultsIn, flagOf } from '../decided.js';

const NO_OTHER_PORTS = 'http_port, grpc_port and metrics_port, the only ports of a server';
const LOADS = 'POST /models/start: this service loads the models that are wanted';

/** Flags of tritonserver that this service sets, or that would undo what it sets. Source: `tritonserver --help` (25.04). */
export const TRITON_DECIDED_FLAGS: Decided = {
  '--model-repository': 'model_repository_host_path',
  '--model-store': 'model_repository_host_path',
  '--model-control-mode': LOADS,
  '--repository-poll-secs': LOADS,
  '--load-model': LOADS,
  '--model-config-name': 'config.pbtxt.template: config.pbtxt is written from it',
  '--model-namespacing': 'supported_models: a model is told by its name alone',
  '--allow-http': 'http_port: this service reaches Triton over HTTP',
  '--http-port': 'http_port, or dedicated_ports',
  '--http-address': 'bind_address',
  '--reuse-http-port': 'http_port: a port has one server',
  '--grpc-port': 'grpc_port, or dedicated_ports',
  '--grpc-address': 'bind_address',
  '--reuse-grpc-port': 'grpc_port: a port has one server',
  '--metrics-port': 'metrics_port, or dedicated_ports',
  '--metrics-address': 'bind_address',
  '--allow-sagemaker': NO_OTHER_PORTS,
  '--sagemaker-port': NO_OTHER_PORTS,
  '--sagemaker-safe-port-range': NO_OTHER_PORTS,
  '--allow-vertex-ai': NO_OTHER_PORTS,
  '--vertex-ai-port': NO_OTHER_PORTS,
  '--exit-timeout-secs': 'exit_timeout_seconds',
  '--help': 'tritonserver --help by hand: with it, a server ends at once',
};

/** The other flags of tritonserver, an operator's to give. The same source. */
export const TRITON_FREE_FLAGS: ReadonlySet<string> = new Set([
  '--id',
  ...['--log-verbose', '--log-info', '--log-warning', '--log-error', '--log-format', '--log-file'],
  ...['--exit-on-error', '--disable-auto-complete-config', '--strict-readiness', '--strict-model-config'],
  ...['--model-load-thread-count', '--model-load-retry-count', '--model-load-gpu-limit'],
  ...['--enable-peer-access', '--min-supported-compute-capability', '--buffer-manager-thread-count'],
  ...['--http-header-forward-pattern', '--http-thread-count', '--http-restricted-api'],
  ...['--allow-grpc', '--grpc-header-forward-pattern', '--grpc-infer-allocation-pool-size'],
  ...[
    '--grpc-use-ssl',
    '--grpc-use-ssl-mutual',
    '--grpc-server-cert',
    '--grpc-server-key',
    '--grpc-root-cert',
  ],
  ...['--grpc-infer-response-compression-level', '--grpc-keepalive-time', '--grpc-keepalive-timeout'],
  ...['--grpc-keepalive-permit-without-calls', '--grpc-http2-max-pings-without-data'],
  ...['--grpc-http2-min-recv-ping-interval-without-data', '--grpc-http2-max-ping-strikes'],
  ...['--grpc-max-connection-age', '--grpc-max-connection-age-grace', '--grpc-restricted-protocol'],
  ...['--sagemaker-thread-count', '--vertex-ai-thread-count', '--vertex-ai-default-model'],
  ...['--allow-metrics', '--allow-gpu-metrics', '--allow-cpu-metrics'],
  ...['--metrics-interval-ms', '--metrics-config'],
  ...['--trace-config', '--trace-file', '--trace-level', '--trace-rate', '--trace-count'],
  '--trace-log-frequency',
  ...['--backend-directory', '--backend-config', '--repoagent-directory'],
  ...['--cache-config', '--cache-directory', '--response-cache-byte-size'],
  ...['--rate-limit', '--rate-limit-resource', '--host-policy'],
  ...['--pinned-memory-pool-byte-size', '--cuda-memory-pool-byte-size', '--cuda-virtual-address-size'],
]);

/** Variables of tritonserver, besides those of GPUs: with AIP_MODE it opens Vertex AI's port in place of its own. */
export const TRITON_DECIDED_VARIABLES: Decided = {
  AIP_MODE: NO_OTHER_PORTS,
  AIP_HTTP_PORT: NO_OTHER_PORTS,
};

/** What this service asks Triton for over HTTP: `--http-restricted-api` must not lock it out. */
const NEEDED_APIS = ['health', 'metadata', 'model-config', 'model-repository', 'statistics'];
const RESTRICTED = '--http-restricted-api';

/** What of `command` or `extra_args` this service decides. */
export function tritonArgumentFaults(items: readonly string[]): DecidedFault[] {
  return [
    ...flagFaultsIn(items, TRITON_DECIDED_FLAGS, TRITON_FREE_FLAGS),
    ...assignmentFaults(items, TRITON_DECIDED_VARIABLES),
    ...restrictionFaults(items),
  ];
}

function restrictionFaults(items: readonly string[]): DecidedFault[] {
  return items.flatMap((item, key) => {
    const flag = flagOf(item);
    if (flag === undefined || flag.length < '--http-r'.length || !RESTRICTED.startsWith(flag)) return [];
    const value = item.includes('=') && !item.startsWith(`${flag} `) ? item.slice(item.indexOf('=') + 1) : '';
    const apis = (value === '' ? (items[key + 1] ?? '') : value).replace(/:.*$/s, '').split(',');
    const locked = apis.find((api) => NEEDED_APIS.includes(api.trim()));
    if (locked === undefined) return [];
    return [{ key, message: `${RESTRICTED} of ${locked} locks this service out: restrict other APIs only` }];
  });
}
