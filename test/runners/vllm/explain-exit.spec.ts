import { explainExit, isFinal } from '../../../src/runners/vllm/explain-exit.js';

describe('why vLLM ended', () => {
  it('is what the engine says, not that it failed', () => {
    const lines = [
      '(APIServer pid=1) WARNING 11-25 08:32:51 [system_utils.py:255] such as `OSError: [Errno 24] Too many`',
      '(EngineCore pid=2) ERROR 11-25 08:33:15 [core.py:1510] Traceback (most recent call last):',
      '(EngineCore pid=2) ERROR 11-25 08:33:15 [core.py:1510] ValueError: no room: 3.1 GiB',
      '(APIServer pid=1) Traceback (most recent call last):',
      '(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.',
      "  warnings.warn('resource_tracker: There appear to be %d '",
    ];
    expect(explainExit(lines)).toBe('ValueError: no room: 3.1 GiB');
    expect(explainExit(lines.slice(3))).toContain('Engine core initialization failed');
  });

  it('goes on where the error does', () => {
    const lines = [
      'pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig',
      '  Value error, User-specified max_model_len (100000) is greater than 256',
      '    For further information visit https://errors.pydantic.dev/2.14/v/value_error',
    ];
    expect(explainExit(lines)).toMatch(
      /ValidationError: 1 validation error for ModelConfig Value error, User-/,
    );
  });

  it.each([
    [
      [
        '(APIServer pid=1) OSError: You are trying to access a gated repo.',
        'Make sure to have access to it at https://huggingface.co/org/gated.',
        '401 Client Error. (Request ID: Root=1-abc)',
      ],
      /gated repo\. Make sure to have access to it at https:\/\/huggingface\.co\/org\/gated\.$/,
    ],
    [
      [
        'huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. (Request ID: Root=1-abc)',
        '',
        'Repository Not Found for url: https://huggingface.co/api/models/org/nosuch.',
      ],
      /404 Client Error\. .* Repository Not Found for url: \S+org\/nosuch\.$/,
    ],
    [
      [
        'OSError: There was a specific connection error when trying to load org/m:',
        "Client error '401 Unauthorized' for url 'https://huggingface.co/org/m/resolve/main/config.json'",
        'For more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/401',
      ],
      /load org\/m: Client error '401 Unauthorized' for url/,
    ],
    [
      [
        'huggingface_hub.errors.HfHubHTTPError: 403 Client Error. (Request ID: Root=1-abc)',
        '',
        'Cannot access gated repo for url https://huggingface.co/org/gated/resolve/main/config.json.',
      ],
      /403 Client Error\. .* Cannot access gated repo for url/,
    ],
  ])('goes on where huggingface_hub does', (lines, words) => {
    const cause = explainExit(lines) ?? '';
    expect(cause).toMatch(words);
    expect(isFinal(cause)).toBe(true);
  });

  it('is what argparse has against the flags', () => {
    const lines = [
      'usage: vllm serve [model_tag] [options]',
      "vllm serve: error: argument --max-num-seqs: invalid int value: 'x'",
    ];
    expect(explainExit(lines)).toBe(lines[1]);
  });

  it('is not what it only warned of', () => {
    const warned =
      "(APIServer pid=1) WARNING 11-25 08:32:51 [x.py:2] ModuleNotFoundError: No module named 'y'";
    const last = '(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above.';
    expect(explainExit([warned, last])).toMatch(/^RuntimeError: Engine core initialization failed/);
  });

  it.each([
    ['vllm: error: unrecognized arguments: --no-such-flag', true],
    ["vllm serve: error: argument --max-num-seqs: invalid int value: 'x'", true],
    ["ModuleNotFoundError: No module named 'vllm._C'", true],
    [
      'pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value error, User-specified max_model_len (100000) is greater than the derived max_model_len (256)',
      true,
    ],
    [
      'pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig Value error, Total number of attention heads (2) must be divisible by tensor parallel size (3).',
      true,
    ],
    [
      'pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value error, Unknown quantization method: nonsense.',
      true,
    ],
    [
      "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/data/models/tinny'. Use `repo_type` argument if needed.",
      true,
    ],
    [
      "OSError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/data/models/tinny'. Use `repo_type` argument if needed.",
      true,
    ],
    [
      "OSError: org/nosuch is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
      true,
    ],
    [
      'OSError: You are trying to access a gated repo. Make sure to have access to it at https://huggingface.co/org/gated.',
      true,
    ],
    [
      "OSError: There was a specific connection error when trying to load org/badtoken: Client error '401 Unauthorized' for url 'https://huggingface.co/org/badtoken/resolve/main/config.json'",
      true,
    ],
    [
      'huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified revision on the local disk and outgoing traffic has been disabled.',
      true,
    ],
    [
      'huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-abc) Cannot access gated repo for url https://huggingface.co/org/gated.',
      true,
    ],
    [
      "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value error, Invalid repository ID or local directory specified: '/models/empty'.",
      true,
    ],
    [
      'pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig Value error, The checkpoint you are trying to load has model type `nope` but Transformers does not recognize this architecture. This could be because of',
      true,
    ],
    ['ValueError: No supported config format found in /m.', true],
    ['ValueError: Could not detect config format for no config file found. With config_format', true],
    [
      "OSError: Client error '403 Forbidden' for url 'https://huggingface.co/org/gated' Access to model org/gated is restricted",
      true,
    ],
    [
      'huggingface_hub.errors.HfHubHTTPError: 403 Client Error. AccessDenied: the signature has expired',
      false,
    ],
    ["OSError: It looks like the config file at '/m/config.json' is not a valid JSON file.", true],
    ['RuntimeError: Cannot find any model weights with `/m`', true],
    ["ValueError: Couldn't instantiate the backend tokenizer from one of:", true],
    ["ValueError: VLLM_PORT 'tcp://10.0.0.1:8000' appears to be a URI. This may be caused by", true],
    ["ValueError: VLLM_PORT 'eighty' must be a valid integer", true],
    ["ValueError: invalid literal for int() with base 10: 'tcp://10.0.0.1:8000'", true],
    ["PermissionError: [Errno 13] Permission denied: '/data/models/x/config.json'", true],
    [
      'OSError: PermissionError at /c when downloading org/m. Common causes: 1) another user is downloading the same model (please wait)',
      false,
    ],
    [
      'huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub and we cannot find the requested files in the local cache.',
      false,
    ],
    [
      'huggingface_hub.errors.HfHubHTTPError: 429 Too Many Requests: you have reached your rate limit.',
      false,
    ],
    ['torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.', false],
    ['ValueError: Free memory on device cuda:0 (3.1/23.5 GiB) on startup is less than desired', false],
    ['ValueError: No available memory for the cache blocks.', false],
    ["OSError: [Errno 98] Address already in use: ('127.0.0.1', 18600)", false],
    ["OSError: We couldn't connect to 'https://huggingface.co' to load the files", false],
    ['RuntimeError: Engine core initialization failed. See root cause above.', false],
    ['ImportError: libfoo.so: failed to map segment: Cannot allocate memory', false],
  ])('%s: final is %s', (cause, final) => {
    expect(isFinal(cause)).toBe(final);
  });

  it('is unknown without an error, and never long', () => {
    expect(explainExit([])).toBeUndefined();
    expect(explainExit(['INFO: all is well', 'Terminated'])).toBeUndefined();
    expect(explainExit([`ValueError: ${'x'.repeat(100_000)}`])?.length).toBeLessThan(1000);
  });
});
