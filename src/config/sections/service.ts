import * as z from 'zod';
import { gpuPolicy, hostPath, LOOPBACK, REACHABLE, safeName, whenValid } from './common.js';

export const serverSection = z
  .strictObject({
    host: z
      .string()
      .min(1)
      .describe('Address to listen on. Anything but a loopback address needs trusted_network.'),
    port: z.int().min(0).max(65_535).describe('TCP port of the API. 0 picks a free one.'),
    trusted_network: z
      .boolean()
      .describe(
        'Says that whoever can reach host may start and stop models and end processes, and that whoever can reach a bind_address of a backend may use its API.',
      ),
    body_limit_kb: z
      .int()
      .min(1)
      .max(10_240)
      .describe('Largest request body in KiB; beyond it the answer is 413.'),
    request_timeout_seconds: z
      .number()
      .min(0.1)
      .max(3600)
      .describe('Time a client has to send its whole request.'),
    keep_alive_timeout_seconds: z
      .number()
      .min(0.1)
      .max(3600)
      .describe('A connection that was idle for this long after an answer is closed.'),
    max_connections: z
      .int()
      .min(16)
      .max(65_536)
      .describe(
        'Connections at once; a further one takes the place of the one that has waited longest for its client.',
      ),
    shutdown_timeout_seconds: z
      .number()
      .min(0.1)
      .max(600)
      .describe('Time the service takes at the most to end, besides shutdown.stop_timeout_seconds.'),
  })
  .refine((server) => server.trusted_network || LOOPBACK.test(server.host), {
    ...whenValid(z.object({ trusted_network: z.boolean(), host: z.string() })),
    path: ['host'],
    message: REACHABLE,
  });

export const gpusSection = z.strictObject({
  source: z.enum(['nvml', 'simulated']).describe('Where GPU readings come from.'),
  sample_max_age_ms: z.int().min(0).max(60_000).describe('One reading serves all callers for this long.'),
  sample_timeout_ms: z.int().min(100).max(60_000).describe('A reading that takes longer is an error.'),
  release_timeout_seconds: z
    .number()
    .min(0.1)
    .max(600)
    .describe('Time after a server has ended until its GPU memory must be free.'),
  learn_interval_seconds: z
    .number()
    .min(0)
    .max(3600)
    .describe('Time between two looks at what models take of GPU memory, to learn their peaks; 0: never.'),
  nvml_library: z
    .string()
    .min(1)
    .describe("NVIDIA's management library: a name for the dynamic linker, or a path."),
  policies: z
    .record(
      z
        .string()
        .regex(/^(default|\d{1,4}|GPU-[A-Za-z0-9-]+)$/, 'default, an NVML index or a UUID (GPU-…)')
        .meta({ examples: ['default'] }),
      gpuPolicy,
    )
    .describe('Per GPU, by UUID, NVML index or "default": exclusive takes one placement and nobody else.'),
  health: z.strictObject({
    auto_cordon: z
      .boolean()
      .describe(
        'Cordon a GPU that is found to be bad, and end what is on it; false: it is only told, as unhealthy.',
      ),
    restart_elsewhere: z
      .boolean()
      .describe(
        'Start what was on a GPU that went bad on another that has room for it, with the same options; false: it is ERROR.',
      ),
    interval_seconds: z
      .number()
      .min(0.1)
      .max(3600)
      .describe('Time between two looks at the health of the GPUs.'),
    throttle_seconds: z
      .number()
      .min(0)
      .max(86_400)
      .describe(
        'A GPU whose clocks are throttled by heat or its power supply for this long is bad, until they are not any more for a minute; 0: never.',
      ),
    ignored_xids: z
      .array(z.int().min(1).max(9999))
      .describe('Xid errors that say nothing against a GPU here, beside those that never do.'),
  }),
  simulated: z.strictObject({
    count: z.int().min(0).max(64).describe('Number of simulated GPUs.'),
    taken_out: z
      .array(z.int().min(0).max(63))
      .describe(
        'Simulated GPUs that were taken out of the host, by the index they had with all of them there: those behind them move up, and keep their UUIDs.',
      ),
    memory_total_mib: z.int().min(1).describe('Memory of each, MiB.'),
    power_limit_w: z.number().min(1).describe('Power limit of each, W.'),
    instance_memory_mib: z.int().min(0).describe('Memory that one execution instance takes, MiB.'),
    faults_file: hostPath
      .nullable()
      .describe('File with faults for the simulated GPUs, read at each reading; null: they have none.'),
  }),
});

export const processesSection = z.strictObject({
  scope: z
    .enum(['any', 'gpu', 'managed'])
    .describe(
      'What DELETE /processes/{pid} may end: any process, those on a GPU, or only servers of this service.',
    ),
  term_grace_seconds: z.number().min(0).max(60).describe('Time between SIGTERM and SIGKILL.'),
  kill_timeout_seconds: z.number().min(0.1).max(60).describe('Time to wait for the end after SIGKILL.'),
});

export const stateSection = z.strictObject({
  dir: hostPath.describe('Directory of what must survive a crash. Created when missing.'),
});

export const logSection = z.strictObject({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'])
    .describe('Least severe level that is logged.'),
  file: hostPath.nullable().describe('Also write the log to this file; null for stdout alone.'),
});

export const healthSection = z.strictObject({
  fast_interval_ms: z.int().min(50).max(10_000).describe('Probe interval while a placement is STARTING.'),
  slow_interval_ms: z.int().min(50).max(600_000).describe('Probe interval while all is quiet.'),
  probe_timeout_ms: z
    .int()
    .min(10)
    .max(60_000)
    .describe('A backend that answers a probe later counts as silent.'),
});

export const livenessSection = z.strictObject({
  deadline_seconds: z
    .number()
    .min(0.5)
    .max(86_400)
    .describe('A server that does not answer for this long is ended by force and started anew.'),
  progress_seconds: z
    .number()
    .min(0)
    .max(86_400)
    .describe(
      'A model whose requests all fail, or are open and not worked on, for this long is degraded; where that stays, it is loaded or started anew. 0: nobody looks.',
    ),
  gpu_check_seconds: z
    .number()
    .min(0)
    .max(86_400)
    .describe(
      'Time between two questions inside a container whether it reaches its GPUs (nvidia-smi -L); one that has lost them is started anew. 0: nobody asks.',
    ),
});

export const restartSection = z.strictObject({
  max_attempts: z
    .int()
    .min(0)
    .max(100)
    .describe('Tries to bring a dead server back before its placements are ERROR.'),
  initial_delay_ms: z
    .int()
    .min(10)
    .max(600_000)
    .describe('Delay before the second try; doubles with every further one.'),
  max_delay_ms: z.int().min(10).max(3_600_000).describe('Longest delay between two tries.'),
  stable_after_seconds: z
    .number()
    .min(0)
    .max(86_400)
    .describe('RUNNING for this long: the tries are counted anew.'),
  window_seconds: z.number().min(1).max(604_800).describe('Failures older than this count no more.'),
  jitter: z
    .number()
    .min(0)
    .max(1)
    .describe(
      'Share of a delay by which it is longer, at random: what died together does not come back together.',
    ),
});

export const shutdownSection = z.strictObject({
  policy: z
    .enum(['keep', 'stop'])
    .describe('At the end of this service, servers go on serving (keep), or are stopped (stop).'),
  stop_timeout_seconds: z
    .number()
    .min(0.1)
    .max(3600)
    .describe(
      'With policy stop: time for servers to end by themselves; what is left then is ended by force.',
    ),
});

export const orphansSection = z.strictObject({
  policy: z
    .enum(['remove', 'report'])
    .describe('Servers of this service that nobody wants are removed after a grace, or only reported.'),
  grace_seconds: z
    .number()
    .min(0)
    .max(86_400)
    .describe('Time from the first sight of an orphan to its removal, unless somebody wants it by then.'),
  interval_seconds: z.number().min(0.1).max(3600).describe('Time between two looks for orphans.'),
});

export const launchersSection = z.strictObject({
  docker: z.strictObject({
    socket_path: hostPath.describe("The Docker Engine's socket."),
    request_timeout_seconds: z
      .number()
      .min(0.1)
      .max(600)
      .describe('Deadline of a call to the Engine (pulls excepted).'),
    pull_timeout_seconds: z.number().min(0.1).max(86_400).describe('Deadline of an image pull.'),
  }),
  process: z.strictObject({
    log_max_bytes: z
      .int()
      .min(65_536)
      .describe(
        "Bytes that a server's log may have, also while it runs: at half of it, the log is moved to <name>.log.1.",
      ),
  }),
});

export const instanceName = safeName.describe(
  'Name of this service on its host: only servers labelled with it are ever touched. Unique there.',
);
