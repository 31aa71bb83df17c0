/** A flag's kind of value. */
type FlagKind = 'string' | 'integer' | 'boolean' | 'number' | 'none';

/** A command line that `tritonserver` would refuse. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Every flag of `tritonserver`, by the kind of its value. Few of them have an effect here. */
const FLAGS: Readonly<Record<FlagKind, string>> = {
  none: 'help disable-auto-complete-config',
  boolean: `log-info log-warning log-error exit-on-error strict-readiness model-namespacing enable-peer-access
    allow-http reuse-http-port allow-grpc reuse-grpc-port grpc-use-ssl grpc-use-ssl-mutual
    grpc-keepalive-permit-without-calls allow-sagemaker allow-vertex-ai allow-metrics allow-gpu-metrics
    allow-cpu-metrics strict-model-config`,
  integer: `exit-timeout-secs log-verbose repository-poll-secs model-load-thread-count model-load-retry-count
    http-port http-thread-count http-max-input-size grpc-port grpc-infer-allocation-pool-size
    grpc-keepalive-time grpc-keepalive-timeout grpc-http2-max-pings-without-data
    grpc-http2-min-recv-ping-interval-without-data grpc-http2-max-ping-strikes grpc-max-connection-age
    grpc-max-connection-age-grace sagemaker-port sagemaker-thread-count vertex-ai-port
    vertex-ai-thread-count metrics-port pinned-memory-pool-byte-size buffer-manager-thread-count
    response-cache-byte-size trace-rate trace-count trace-log-frequency`,
  number: 'metrics-interval-ms min-supported-compute-capability',
  string: `id log-format log-file model-store model-repository model-control-mode load-model
    model-config-name http-address http-header-forward-pattern http-restricted-api grpc-address
    grpc-header-forward-pattern grpc-server-cert grpc-server-key grpc-root-cert
    grpc-infer-response-compression-level grpc-restricted-protocol sagemaker-safe-port-range
    vertex-ai-default-model metrics-address metrics-config trace-config trace-file trace-level
    backend-directory backend-config repoagent-directory cache-config cache-directory rate-limit
    rate-limit-resource cuda-memory-pool-byte-size cuda-virtual-address-size host-policy
    model-load-gpu-limit`,
};

const KINDS: ReadonlyMap<string, FlagKind> = new Map(
  (Object.keys(FLAGS) as FlagKind[]).flatMap((kind) =>
    FLAGS[kind].split(/\s+/).map((name): [string, FlagKind] => [name, kind]),
  ),
);

/**
 * Splits a command line into flags and their values, in the order given: `--flag=value` and
 * `--flag value` alike. Throws UsageError in the words of `tritonserver`.
 */
export function parseFlags(args: readonly string[]): Map<string, string[]> {
  const flags = new Map<string, string[]>();
  for (let at = 0; at < args.length; at += 1) {
    const argument = args[at] ?? '';
    if (!argument.startsWith('--')) {
      throw new UsageError(
        argument.startsWith('-')
          ? `tritonserver: invalid option -- '${argument.slice(1)}'`
          : `Unexpected argument: ${argument}`,
      );
    }
    const equals = argument.indexOf('=');
    const name = argument.slice(2, equals === -1 ? undefined : equals);
    const kind = KINDS.get(name);
    if (!kind) throw new UsageError(`tritonserver: unrecognized option '--${name}'`);
    let value = equals === -1 ? undefined : argument.slice(equals + 1);
    if (kind === 'none') {
      if (value !== undefined)
        throw new UsageError(`tritonserver: option '--${name}' doesn't allow an argument`);
    } else if (value === undefined) {
      at += 1;
      value = args[at];
      if (value === undefined) throw new UsageError(`tritonserver: option '--${name}' requires an argument`);
    }
    checkValue(name, kind, value ?? '');
    flags.set(name, [...(flags.get(name) ?? []), value ?? '']);
  }
  return flags;
}

/** A boolean flag's value. */
export function isTrue(value: string): boolean {
  return ['true', '1'].includes(value.toLowerCase());
}

function checkValue(name: string, kind: FlagKind, value: string): void {
  const bad = (problem: string): UsageError => new UsageError(`Bad option: "--${name}".\n${problem}`);
  if (kind === 'boolean' && !['true', 'false', '1', '0'].includes(value.toLowerCase())) {
    throw bad(`invalid value for bool option: ${value}`);
  }
  if (kind === 'integer' && !/^-?\d+$/.test(value)) throw bad(`Invalid option value. Got ${value}`);
  if (kind === 'number' && !/^-?\d+(\.\d+)?$/.test(value)) throw bad(`Invalid option value. Got ${value}`);
}
