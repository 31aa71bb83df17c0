import * as z from 'zod';
import type { HostPath } from '../../launchers/host-paths.js';
import {
  bindAddress,
  byteSize,
  hostPath,
  safeName,
  tcpPort,
  whenValid,
} from '../../config/sections/common.js';
import { variableFaults } from '../decided.js';

/** Linux hands these out to outgoing connections: a server's port among them may be taken at any moment. */
const EPHEMERAL = { from: 32_768, to: 60_999 };

/** Ports for the servers of one backend, one each. */
export const serverPorts = z
  .strictObject({ from: tcpPort, to: tcpPort })
  .refine(({ from, to }) => from <= to, 'from must not be above to')
  .refine(
    ({ from, to }) => to < EPHEMERAL.from || from > EPHEMERAL.to,
    `must keep clear of ${EPHEMERAL.from}-${EPHEMERAL.to}, which outgoing connections get`,
  );

/** Variables of servers, without those by which this service gives them GPUs. */
export const serverEnv = z
  .record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'letters, digits and "_", no digit first'),
    z.string().regex(/^[^\0]*$/, 'text without NUL'),
  )
  .superRefine(
    (env, context) => {
      for (const { key, message } of variableFaults(env)) {
        context.addIssue({ code: 'custom', path: [key], message });
      }
    },
    whenValid(z.record(z.string(), z.unknown())),
  );

export const serverMounts = z.array(
  z.strictObject({
    host_path: hostPath,
    server_path: z.string().regex(/^\/[^\0]*$/, 'an absolute path'),
    read_only: z.boolean().default(true),
  }),
);

/** What the mounts of a list need on the host; `key` is the dotted key of the list. */
export function mountedPaths(mounts: z.infer<typeof serverMounts>, key: string): HostPath[] {
  return mounts.map(({ host_path: path }, index) => ({ path, setting: `${key}.${index}.host_path` }));
}

const ulimit = z.strictObject({
  name: z.string().regex(/^[a-z]+$/),
  soft: z.int().min(-1),
  hard: z.int().min(-1),
});

/**
 * The keys that every backend with one server per placement has. A section spreads them:
 * `z.strictObject({ ...placementServerKeys, … })`.
 */
export const placementServerKeys = {
  enabled: z.boolean().describe('Offer this backend.'),
  launcher: z.enum(['docker', 'process']).describe('How servers run.'),
  image_name: z.string().min(1).nullable().default(null).describe('Image of the containers (docker).'),
  pull: z
    .enum(['never', 'if-missing'])
    .default('never')
    .describe('What to do when the image is not on the host (docker).'),
  container_name: safeName
    .min(2)
    .max(60)
    .describe('Begins the name of every server: <container_name>_<model>_<gpu_id>.'),
  bind_address: bindAddress
    .default('127.0.0.1')
    .describe(
      "Address the servers' ports listen on. Anything but a loopback address needs server.trusted_network.",
    ),
  ports: serverPorts.describe('Ports for the servers, one each; below 32768, and of no other backend.'),
  device: z
    .enum(['gpu', 'cpu'])
    .default('gpu')
    .describe('gpu: a server sees the GPUs of its placement. cpu: it sees none.'),
  env: serverEnv.default({}).describe('Environment of the servers.'),
  mounts: serverMounts.default([]).describe('Directories of the host that the containers see (docker).'),
  shm_size: byteSize
    .nullable()
    .default(null)
    .describe("Shared memory of a container; null for Docker's default."),
  memory_limit: byteSize.nullable().default(null).describe('Memory limit of a container; null for none.'),
  ulimits: z.array(ulimit).default([]).describe('Limits of a container.'),
  start_timeout_seconds: z
    .number()
    .min(0.1)
    .max(86_400)
    .describe('Longest time from the launch of a server until it is ready.'),
  stop_grace_seconds: z
    .number()
    .min(0)
    .max(3600)
    .describe('Time a server has to end before it is forced to.'),
  supported_models: z.array(safeName).describe('The models of this backend.'),
};

/** What a section holds at least whose backend has one server per placement. */
export type PlacementServerConfig = z.infer<z.ZodObject<typeof placementServerKeys>>;
