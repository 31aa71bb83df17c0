import { UsageError } from '../../standin/tritonserver/flags.js';
import { parseOptions } from '../../standin/tritonserver/options.js';
import { defaultSettings, parseSettings } from '../../standin/tritonserver/standin-settings.js';

const EXPLICIT = '--model-control-mode=explicit';

describe('flags of the stand-in', () => {
  it('has the defaults of tritonserver', () => {
    expect(parseOptions([EXPLICIT])).toEqual({
      repositories: [],
      loadModels: [],
      http: { address: '0.0.0.0', port: 8000 },
      grpc: { address: '0.0.0.0', port: 8001 },
      metrics: { address: '0.0.0.0', port: 8002 },
      exitTimeoutSeconds: 30,
      strictReadiness: true,
      exitOnError: true,
      withoutEffect: [],
    });
  });

  it('takes --flag=value and --flag value, and lists what has no effect', () => {
    const options = parseOptions([
      ...['--model-repository=/a', '--model-repository', '/b', '--model-control-mode', 'explicit'],
      ...['--http-port=1', '--http-address', '127.0.0.1', '--allow-grpc=false', '--metrics-port', '3'],
      ...['--exit-timeout-secs=5', '--strict-readiness=0', '--load-model=MAM', '--load-model', 'FastFitAll'],
      ...['--exit-on-error=False', '--log-verbose=1', '--disable-auto-complete-config'],
    ]);
    expect(options).toEqual({
      repositories: ['/a', '/b'],
      loadModels: ['MAM', 'FastFitAll'],
      http: { address: '127.0.0.1', port: 1 },
      grpc: undefined,
      metrics: { address: '0.0.0.0', port: 3 },
      exitTimeoutSeconds: 5,
      strictReadiness: false,
      exitOnError: false,
      withoutEffect: ['log-verbose', 'disable-auto-complete-config'],
    });
  });

  it.each([
    [['--nonsense'], "tritonserver: unrecognized option '--nonsense'"],
    [['-x'], "tritonserver: invalid option -- 'x'"],
    [['stray'], 'Unexpected argument: stray'],
    [['--http-port'], "tritonserver: option '--http-port' requires an argument"],
    [['--http-port=abc'], 'Bad option: "--http-port".\nInvalid option value. Got abc'],
    [['--http-port=65536', EXPLICIT], 'Bad option: "--http-port"'],
    [['--allow-http=maybe'], 'invalid value for bool option: maybe'],
    [['--model-control-mode=foo'], 'invalid argument for --model-control-mode'],
    [['--model-control-mode=poll'], 'plays --model-control-mode=explicit only, not "poll"'],
    [[], 'plays --model-control-mode=explicit only, not "none"'],
    [['--load-model=MAM'], "Use of '--load-model' requires setting '--model-control-mode=explicit' as well."],
    [['--http-restricted-api=model-repository:a=b', EXPLICIT], "can't restrict or encrypt"],
  ])('refuses %j', (args, message) => {
    expect(() => parseOptions(args)).toThrow(UsageError);
    expect(() => parseOptions(args)).toThrow(message);
  });
});

describe('standin.json', () => {
  const defaults = defaultSettings({ TRITON_STANDIN_LOAD_SECONDS: '0.5' });

  it('is laid over the defaults', () => {
    expect(parseSettings('{ "infer_ms": 7, "hang_unload": true }', defaults)).toEqual({
      ...{ load_seconds: 0.5, unload_seconds: 0.2, infer_ms: 7, scale: 2, offset: 1 },
      hang_unload: true,
    });
  });

  it.each([
    ['{ "load_second": 1 }', 'unknown key "load_second"; it knows load_seconds, '],
    [
      '{ "load_seconds": -1, "infer_ms": "5" }',
      '"load_seconds" must be a number from 0 to 86400; "infer_ms" must be',
    ],
    ['{ "crash_on_load": 256 }', '"crash_on_load" must be an exit code, 0 to 255'],
    ['{ "fail_load": "" }', '"fail_load" must be a text'],
    ['{ "hang_load": 1 }', '"hang_load" must be true or false'],
    ['{ "__proto__": 1 }', 'unknown key "__proto__"'],
    ['[]', 'must hold one JSON object'],
    ['{', 'standin.json: '],
  ])('refuses %s', (text, message) => {
    expect(() => parseSettings(text, defaults)).toThrow(message);
  });

  it.each(['-1', 'soon', '1e9'])('refuses TRITON_STANDIN_LOAD_SECONDS=%s', (text) => {
    expect(() => defaultSettings({ TRITON_STANDIN_LOAD_SECONDS: text })).toThrow(
      'TRITON_STANDIN_LOAD_SECONDS must be',
    );
  });
});
