import { afterEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../support/ports.js';
import { TestService } from '../support/service.js';

/** No read may take longer while the service looks at what a server wrote, ms. */
const READ_LIMIT_MS = 1000;

let service: TestService;

afterEach(() => service.dispose());

async function boot(model: Record<string, unknown>): Promise<void> {
  const [from = 0] = await freePorts(1);
  service = await TestService.create({
    runners: {
      http: {
        launcher: 'process',
        ports: { from, to: from + 20 },
        models: { m: { health_path: '/health', ...model } },
      },
    },
    config: { restart: { initial_delay_ms: 50, max_delay_ms: 100, max_attempts: 3 } },
  });
  await service.boot();
}

/** The longest that a read takes until `end` resolves, ms. */
async function slowestReadUntil<T>(end: Promise<T>): Promise<number> {
  const ended = { yet: false };
  void end.finally(() => (ended.yet = true));
  let slowest = 0;
  while (!ended.yet) {
    const begun = performance.now();
    await service.get('/api/v1/models/status');
    slowest = Math.max(slowest, performance.now() - begun);
    await sleep(20);
  }
  return slowest;
}

describe('F41: text from outside is as bad as it can be', () => {
  it.each([
    ['an escape sequence that does not end', String.raw`'\u001b' + ';?'.repeat(60_000)`],
    ['many that do not end', String.raw`'\u001b[;?'.repeat(30_000)`],
    ['names of exceptions', `'c' + 'Error.e'.repeat(17_000)`],
    ['words of an interpreter', `": can't open file '".repeat(6000)`],
  ])('a server writes %s and ends: reads are answered, and the verdict is right', async (_what, text) => {
    const script = `process.stdout.write(${text}); process.exit(3)`;
    await boot({ command: [process.execPath], args: ['-e', script] });
    expect((await service.start('m', 0)).status).toBe(202);
    const failed = service.untilError('m');
    expect(await slowestReadUntil(failed)).toBeLessThan(READ_LIMIT_MS);
    const { code, message } = await failed;
    expect(code).toBe('SERVER_LOST');
    expect(message).toMatch(/exit(?:ed)?.* 3|code 3/);
  });

  it("a value goes back and forth in an operator's pattern: the start is answered, and so are reads", async () => {
    const options = { text: { type: 'string', pattern: '(a+)+b?', default: 'a' } };
    await boot({ command: ['/bin/sleep'], args: ['60', '{option.text}'], options });
    const asked = service.start('m', 0, { text: `${'a'.repeat(200)}!` });
    expect(await slowestReadUntil(asked)).toBeLessThan(READ_LIMIT_MS);
    const { status, body } = await asked;
    expect(status).toBe(400);
    expect(JSON.stringify(body)).toContain('must match (a+)+b?');
  });
});
