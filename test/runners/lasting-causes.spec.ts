import { explainExit, isFinal } from '../../src/runners/http/explain-exit.js';
import { isFinal as isFinalOfComfyui } from '../../src/runners/comfyui/last-words.js';
import { finalCause } from '../../src/runners/triton/explain-exit.js';

const isFinalOfHttp = (lines: readonly string[]): boolean => {
  const cause = explainExit(lines);
  return cause !== undefined && isFinal(cause);
};

describe('a cause that stays', () => {
  it.each([
    [['usage: server.py [-h]', 'server.py: error: unrecognized arguments: --prot'], true],
    [['error: invalid argument: --prot'], true],
    [['Traceback (most recent call last):', "ModuleNotFoundError: No module named 'litserve'"], true],
    [["PermissionError: [Errno 13] Permission denied: '/models/x'"], true],
    [["ValueError: invalid literal for int() with base 10: 'tcp://10.0.0.1:80'"], true],
    [['OSError: [Errno 98] Address already in use'], false],
    [['torch.OutOfMemoryError: CUDA out of memory.'], false],
    [['ConnectionError: the database is not up yet'], false],
    [['bye'], false],
  ])('of a server of http: %j is %s', (lines, final) => {
    expect(isFinalOfHttp(lines)).toBe(final);
  });

  it('of ComfyUI: what it may not read, or cannot parse', () => {
    expect(isFinalOfComfyui("PermissionError: [Errno 13] Permission denied: '/models/vae'")).toBe(true);
    expect(isFinalOfComfyui('yaml.scanner.ScannerError: mapping values are not allowed here')).toBe(true);
    expect(isFinalOfComfyui('RuntimeError: CUDA error: out of memory')).toBe(false);
  });

  it.each([
    [["tritonserver: unrecognized option '--fooo=1'", 'Usage: tritonserver [options]'], /--fooo=1/],
    [['Bad option: "--http-port".', 'Invalid option value. Got abc', ''], /--http-port.* Got abc/],
    [['error: creating server: Internal - failed to stat file /models'], /failed to stat file/],
    [['error: creating server: Invalid argument - unable to find a cache'], /unable to find a cache/],
    [['error: creating server: Unavailable - Socket 0.0.0.0:8000 already in use'], undefined],
    [['I1126 12:21:43 server.cc:302] "No server context available. Exiting immediately."'], undefined],
  ])('of Triton: %j', (lines, words) => {
    if (words === undefined) expect(finalCause(lines)).toBeUndefined();
    else expect(finalCause(lines)).toMatch(words);
  });
});
