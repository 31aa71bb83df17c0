import * as z from 'zod';
import { EngineTooOldError } from '../launcher.js';
import type { Engine } from './engine.js';

/** Docker 19.03: the first to hand out GPUs. Source: Docker, "Engine API version history". */
const OLDEST = { major: 1, minor: 40 };

const version = z.object({ ApiVersion: z.string().regex(/^\d+\.\d+$/) });

/** @throws EngineUnavailableError; EngineTooOldError. An Engine that does not say its version passes. */
export async function requireApiVersion(engine: Engine, signal: AbortSignal): Promise<void> {
  const told = version.safeParse(await engine.find(signal, (docker) => docker.version()));
  if (!told.success) return;
  const { ApiVersion: text } = told.data;
  const [major = 0, minor = 0] = text.split('.').map(Number);
  if (major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor)) return;
  throw new EngineTooOldError(
    `The Docker Engine at ${engine.socketPath} speaks API ${text}, and this service needs ${OLDEST.major}.${OLDEST.minor} (Docker 19.03) or later: update Docker.`,
    { api: text },
  );
}
