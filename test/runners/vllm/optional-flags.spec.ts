import { ServerLostError } from '../../../src/runners/errors.js';
import { OptionalFlags } from '../../../src/runners/vllm/optional-flags.js';

const TRACKING = '--enable-server-load-tracking';

const ended = (message: string, log: string[] = []): ServerLostError => new ServerLostError(message, { log });

describe('the flags that not every vLLM has', () => {
  it('are said to one that has refused none; the shutdown timeout leaves time for the end', () => {
    const flags = new OptionalFlags();
    expect(flags.argsFor(30)).toEqual([TRACKING, '--shutdown-timeout', '25']);
    expect(flags.argsFor(7.5)).toEqual([TRACKING, '--shutdown-timeout', '2']);
    expect(flags.argsFor(5)).toEqual([TRACKING]);
  });

  it('are left out once it has refused them, each for itself', () => {
    const flags = new OptionalFlags();
    const words =
      'vllm ended with exit code 2: vllm serve: error: unrecognized arguments: --shutdown-timeout 25';
    expect(flags.learnFrom(ended(words))).toBe(true);
    expect(flags.argsFor(30)).toEqual([TRACKING]);
    const log = ['usage: vllm serve', `vllm: error: unrecognized arguments: ${TRACKING} --seed 1`];
    expect(flags.learnFrom(ended('vllm ended', log))).toBe(true);
    expect(flags.argsFor(30)).toEqual([]);
  });

  it('are in force where it ended for something else', () => {
    const flags = new OptionalFlags();
    for (const error of [
      ended('vllm serve: error: unrecognized arguments: --sed 1', [`usage: vllm serve [${TRACKING}]`]),
      ended(`ValueError: Free memory is too small`, [`args: ${TRACKING} --shutdown-timeout 25`]),
      new Error(`unrecognized arguments: ${TRACKING}`),
    ]) {
      expect(flags.learnFrom(error)).toBe(false);
    }
    expect(flags.argsFor(30)).toEqual([TRACKING, '--shutdown-timeout', '25']);
  });
});
