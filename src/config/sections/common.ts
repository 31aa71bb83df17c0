import { isIP } from 'node:net';
import { resolve } from 'node:path';
import * as z from 'zod';

/** A name that can stand in a URL, a path and a container name without quoting. */
export const safeName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/,
    'letters, digits, "_", "." and "-" only, 128 at most, no leading sign',
  );

/** For a rule over several keys: it is applied where these are valid, whatever else is wrong. */
export function whenValid(keys: z.ZodType): { when: (payload: { value: unknown }) => boolean } {
  return { when: ({ value }) => keys.safeParse(value).success };
}

/** Whether a GPU or a model takes others beside it. */
export const gpuPolicy = z.enum(['shared', 'exclusive']);

/** Time requests get to be worked off before a stop, seconds. */
export const drainSeconds = z.int().min(0).max(3600).optional();

/** How long the requests of one model may take. */
export const modelLiveness = z
  .strictObject({
    progress_seconds: z
      .number()
      .min(0)
      .max(86_400)
      .optional()
      .describe('In place of liveness.progress_seconds, for this model; 0: nobody looks.'),
    deadline_seconds: z
      .number()
      .min(0.5)
      .max(86_400)
      .optional()
      .describe(
        'The longest that one request may take: nothing done for this long, while requests wait, is a hang.',
      ),
  })
  .optional();

/** The same, for `Runner.livenessOf`. */
export function livenessIn(keys: z.infer<typeof modelLiveness>): {
  readonly progressSeconds: number | undefined;
  readonly deadlineSeconds: number | undefined;
} {
  return { progressSeconds: keys?.progress_seconds, deadlineSeconds: keys?.deadline_seconds };
}

/** What one placement takes of its GPU's memory, MiB. */
export const gpuMemoryMb = z.int().min(1).max(16_777_216).optional();

export const tcpPort = z.int().min(1).max(65535);

/** A path on the host; a relative one counts from the working directory. Its value is absolute. */
export const hostPath = z
  .string()
  .regex(/^[^\0]+$/, 'a path')
  .transform((path) => resolve(path));

const SIZE = /^(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?$/i;
const SIZE_FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};

/** A size as Docker writes it (`2g`, `512m`, `1073741824`); its value is bytes. */
export const byteSize = z
  .union([z.string(), z.number()])
  .refine((value) => SIZE.test(String(value)), 'a size such as 512m or 2g');

/** Bytes of a valid `byteSize` value. */
export function bytesOf(size: string | number): number {
  const match = SIZE.exec(String(size));
  if (!match) throw new RangeError(`Not a size: ${size}`);
  return Math.round(Number(match[1]) * (SIZE_FACTORS[(match[2] ?? '').toLowerCase()] ?? 1));
}

/** An address that no other machine reaches. */
export const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

/** What is wrong with any other address while `server.trusted_network` is false. */
export const REACHABLE =
  'is reachable from other machines: set server.trusted_network to true to allow that, or use 127.0.0.1';

/** A name of a host: its last part is no number, so that what is meant for an IPv4 address is none. */
const HOST_NAME = /^(?:[A-Za-z0-9_-]{1,63}\.)*(?!\d+$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/** Where servers listen. Whether this host has it, only a start tells. */
export const bindAddress = z
  .string()
  .refine((text) => isIP(text) !== 0 || HOST_NAME.test(text), 'an IP address, or the name of a host');
