#!/usr/bin/env node
// A stand-in for `vllm serve MODEL --host … --port … --served-model-name …`. What is true of vLLM's own server is true of
// it: nothing listens while it loads; an engine of its own in the same process group holds the memory, outlives a kill -9
// of the API server, and is ended by it on SIGTERM; requests under way are cut off then, or finished within --shutdown-timeout.
// MODEL says how it behaves: `standin?load_ms=200&fail=memory`
//   load_ms     until it is ready (100)
//   fail=memory ends with the traceback of a GPU without room
//   fail=length ends with that of a context longer than the model's
//   fail=hub, uri   ends with that of an id that the hub does not know, of a URI in VLLM_PORT
//   models=500  /health is 200, /v1/models is not
//   deaf=1      it does not heed SIGTERM
//   old=1       an early version: it has neither --enable-server-load-tracking nor --shutdown-timeout
//   prefill_ms  what the first step of a completion takes, which is in no gauge; GET /load counts it (0)
//   sleep=500   /sleep fails; hang: it is never done; blocked: the engine answers nothing meanwhile, for 2 s
//   reload=500  reload_weights fails the first time
//   broken_after=3  further completions are 500, and /health stays 200
//   level=hidden  its metrics do not say at which level it sleeps
// With --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1 it sleeps: the engine takes no step then, and what comes in waits.
// Awake without its weights (level 2, no reload_weights), it talks rubbish.
// A completion takes max_tokens × 10 ms. Its engine is asked for each 100 ms of it: frozen (SIGSTOP), it gives none, and what
// was never begun is in no gauge; /health stays 200. $STANDIN_JOURNAL: a file to which it appends what it does.
import { Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setImmediate, setInterval, setTimeout } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';
import { URL, URLSearchParams } from 'node:url';
import { parseArgs } from 'node:util';

/** The end of the log, as vLLM 0.32.0 writes it. */
const LASTING = {
  hub: [
    '(APIServer pid=12)   File "hub.py", line 569, in cached_files',
    '(APIServer pid=12)     raise OSError(',
    "(APIServer pid=12) OSError: org/nosuch is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
    '(APIServer pid=12) If this is a private repository, make sure to pass a token having permission to this repo',
  ],
  uri: [
    '(Worker pid=7121) ERROR 11-26 12:16:03 [multiproc_executor.py:953]     raise ValueError(',
    "(Worker pid=7121) ERROR 11-26 12:16:03 [multiproc_executor.py:953] ValueError: VLLM_PORT 'tcp://10.0.0.1:8000' appears to be a URI. This may be caused by a Kubernetes service discovery issue",
    '(APIServer pid=12) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}',
  ],
};

if (process.argv[2] === 'engine') {
  process.title = 'VLLM::EngineCore';
  process.on('SIGTERM', () => setTimeout(() => process.exit(0), 50));
  setInterval(() => {}, 1000);
  process.on('message', (step) => process.connected && process.send(step));
} else setImmediate(main);

async function main() {
  const text = { type: 'string' };
  const early = process.argv[3]?.includes('old=1');
  const { values: flags, positionals } = parsed({
    host: text,
    port: text,
    dtype: text,
    'served-model-name': text,
    'max-model-len': text,
    'gpu-memory-utilization': text,
    'tensor-parallel-size': text,
    'max-num-seqs': text,
    'enforce-eager': { type: 'boolean' },
    'enable-sleep-mode': { type: 'boolean' },
    ...(!early && { 'enable-server-load-tracking': { type: 'boolean' }, 'shutdown-timeout': text }),
  });
  const [command, model = ''] = positionals;
  if (command !== 'serve') throw new Error(`not a command: ${command}`);
  const behaviour = new URLSearchParams(model.split('?')[1] ?? '');
  const served = flags['served-model-name'] ?? model;
  const journal = (what) => {
    if (process.env.STANDIN_JOURNAL) appendFileSync(process.env.STANDIN_JOURNAL, `${what} ${served}\n`);
  };
  const counts = { load: 0, running: 0, waiting: 0, done: 0, tokens: 0, failed: 0, steps: 0 };
  journal('loading');
  const engine = spawn(process.execPath, [process.argv[1], 'engine'], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  const steps = new Map();
  engine.on('message', (step) => steps.get(step)?.());
  const engineStep = async () => {
    const step = (counts.steps += 1);
    await new Promise((resolve) => {
      steps.set(step, resolve);
      if (engine.connected) engine.send(step, () => {});
    });
    steps.delete(step);
  };

  process.on('SIGTERM', async () => {
    if (behaviour.get('deaf') === '1') return;
    const end = Date.now() + Number(flags['shutdown-timeout'] ?? 0) * 1000;
    while (counts.load > 0 && Date.now() < end) await sleep(10);
    engine.kill('SIGTERM');
    if (engine.exitCode === null) await new Promise((resolve) => engine.once('exit', resolve));
    process.exit(0);
  });

  await sleep(Number(behaviour.get('load_ms') ?? 100));
  if (behaviour.get('fail') === 'memory') {
    engine.kill('SIGKILL');
    failForMemory();
  }
  if (behaviour.get('fail') === 'length') {
    engine.kill('SIGKILL');
    failForLength();
  }
  const words = LASTING[behaviour.get('fail')];
  if (words) {
    engine.kill('SIGKILL');
    console.error(words.join('\n'));
    process.exit(1);
  }
  journal('ready');

  const sleeper =
    flags['enable-sleep-mode'] && process.env.VLLM_SERVER_DEV_MODE === '1'
      ? new Sleeper(behaviour)
      : undefined;
  const answer = (response, status, body) => {
    response.statusCode = status;
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
  createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    switch (`${request.method} ${request.url}`) {
      case 'GET /health':
        return answer(response, 200, '');
      case 'GET /v1/models':
        if (behaviour.get('models') === '500') return answer(response, 500, { error: 'EngineDeadError' });
        return answer(response, 200, { object: 'list', data: [{ id: served, object: 'model' }] });
      case 'GET /metrics':
        return answer(response, 200, metrics(served, counts, sleeper));
      case 'GET /load':
        return answer(response, 200, { server_load: flags['enable-server-load-tracking'] ? counts.load : 0 });
      case 'GET /launched-with':
        return answer(response, 200, {
          argv: process.argv.slice(2),
          cuda: process.env.CUDA_VISIBLE_DEVICES ?? null,
        });
      case 'POST /v1/completions': {
        const body = JSON.parse(Buffer.concat(chunks).toString());
        if (body.model !== served) return answer(response, 404, { error: { message: 'no such model' } });
        counts.load += 1;
        await sleep(Number(behaviour.get('prefill_ms') ?? 0));
        counts.waiting += 1;
        while (sleeper?.isAsleep) await sleep(5);
        counts.waiting -= 1;
        if (counts.done >= Number(behaviour.get('broken_after') ?? Infinity)) {
          counts.failed += 1;
          counts.load -= 1;
          return answer(response, 500, { error: { message: 'CUDA error: unspecified launch failure' } });
        }
        await engineStep();
        counts.running += 1;
        for (let left = body.max_tokens ?? 16; left > 0; left -= 10) {
          await sleep(Math.min(left, 10) * 10);
          await engineStep();
          counts.tokens += Math.min(left, 10);
        }
        counts.running -= 1;
        counts.done += 1;
        counts.load -= 1;
        const text = sleeper?.hasWeights === false ? '!!!!!' : 'a b c';
        return answer(response, 200, { object: 'text_completion', choices: [{ text }] });
      }
      default: {
        if (request.method === 'POST') journal(`POST ${request.url}`);
        const [status, body] = (await sleeper?.answer(request, Buffer.concat(chunks).toString(), counts)) ?? [
          404,
          { detail: 'Not Found' },
        ];
        return answer(response, status, body);
      }
    }
  }).listen(Number(flags.port), flags.host);
}

/** The flags; of one that it does not have, it ends as argparse does. */
function parsed(options) {
  try {
    return parseArgs({ allowPositionals: true, options });
  } catch {
    const unknown = process.argv.filter((each) => each.startsWith('--') && !options[each.slice(2)]);
    console.error(
      `usage: vllm serve [model_tag] [options]\nvllm serve: error: unrecognized arguments: ${unknown.join(' ')}`,
    );
    process.exit(2);
  }
}

/** vLLM's development endpoints, as far as sleep needs them. */
class Sleeper {
  asleep = new Set();
  level = 0;
  hasWeights = true;
  blocked = Promise.resolve();

  constructor(behaviour) {
    this.behaviour = behaviour;
    this.reloadFails = behaviour.get('reload') === '500';
  }

  get isAsleep() {
    return this.asleep.size > 0;
  }

  /** Status and body; undefined for what is none of its business. */
  async answer({ method, url }, body, counts) {
    const { pathname, searchParams } = new URL(url, 'http://localhost');
    switch (`${method} ${pathname}`) {
      case 'GET /is_sleeping':
        await this.blocked;
        return [200, { is_sleeping: this.isAsleep }];
      case 'POST /sleep': {
        if (this.behaviour.get('sleep') === '500') return [500, { error: 'no memory on the host' }];
        if (this.behaviour.get('sleep') === 'hang') return new Promise(() => {});
        if (this.behaviour.get('sleep') === 'blocked') this.blocked = sleep(2000);
        if (counts.running > 0) process.exit(1); // an illegal memory access
        await this.blocked;
        this.level = Number(searchParams.get('level'));
        if (!this.isAsleep && this.level === 2) this.hasWeights = false;
        this.asleep = new Set(['weights', 'kv_cache']);
        return [200, { status: 'sleeping', level: this.level }];
      }
      case 'POST /wake_up': {
        const tags = searchParams.getAll('tags');
        for (const tag of tags.length > 0 ? tags : [...this.asleep]) this.asleep.delete(tag);
        if (!this.isAsleep) this.level = 0;
        return [200, { status: this.isAsleep ? 'sleeping' : 'awake' }];
      }
      case 'POST /collective_rpc':
        if (JSON.parse(body).method !== 'reload_weights') return [500, { error: 'no such method' }];
        if (this.reloadFails) {
          this.reloadFails = false;
          return [500, { error: 'the checkpoint is gone' }];
        }
        this.hasWeights = !this.asleep.has('weights');
        return [200, { results: [null] }];
      case 'POST /reset_prefix_cache':
        return [200, { success: true }];
      default:
        return undefined;
    }
  }
}

function sleepStates(served, { level }) {
  const states = [
    ['awake', 0],
    ['weights_offloaded', 1],
    ['discard_all', 2],
  ];
  return states.map(
    ([state, at]) =>
      `vllm:engine_sleep_state{engine="0",model_name="${served}",sleep_state="${state}"} ${level === at ? 1 : 0}.0`,
  );
}

function metrics(served, { running, waiting, done, tokens, failed }, sleeper) {
  const labels = `{engine="0",model_name="${served}"}`;
  const total = `{engine="0",finished_reason="length",model_name="${served}"}`;
  return [
    '# TYPE vllm:num_requests_running gauge',
    `vllm:num_requests_running${labels} ${running}.0`,
    '# TYPE vllm:num_requests_waiting gauge',
    `vllm:num_requests_waiting${labels} ${waiting}.0`,
    ...(sleeper && sleeper.behaviour.get('level') !== 'hidden' ? sleepStates(served, sleeper) : []),
    `vllm:num_requests_waiting_by_reason{engine="0",model_name="${served}",reason="capacity"} 7.0`,
    `vllm:request_success_total${total} ${done}.0`,
    `vllm:generation_tokens_total${labels} ${tokens}.0`,
    `http_requests_total{handler="/v1/completions",method="POST",status="2xx"} ${done}.0`,
    `http_requests_total{handler="/v1/completions",method="POST",status="5xx"} ${failed}.0`,
    `vllm:request_success_created${total} 1.795595340064193e+09`,
    '',
  ].join('\n');
}

/** As vLLM's log has it, shortened: the cause is the engine's, and the API server's own error says nothing of it. */
function failForMemory() {
  const engine = '(EngineCore pid=12) ERROR 11-25 08:33:15 [core.py:1510]';
  const cause =
    'ValueError: Free memory on device cuda:0 (3.1/23.5 GiB) on startup is less than desired GPU memory utilization ' +
    '(0.9, 21.2 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.';
  const frames = Array.from({ length: 20 }, (_, index) => `  File "core.py", line ${index}, in run`);
  const lines = [
    `${engine} EngineCore failed to start.`,
    `${engine} Traceback (most recent call last):`,
    ...frames.map((frame) => `${engine} ${frame}`),
    `${engine} ${cause}`,
    'Traceback (most recent call last):',
    ...frames,
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}",
  ];
  console.error(lines.join('\n'));
  process.exit(1);
}

/** As vLLM 0.32.0 has it, shortened. */
function failForLength() {
  console.error(
    [
      '(APIServer pid=12) Traceback (most recent call last):',
      '(APIServer pid=12)   File "arg_utils.py", line 1955, in create_model_config',
      '(APIServer pid=12)     return ModelConfig(',
      '(APIServer pid=12) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig',
      '(APIServer pid=12)   Value error, User-specified max_model_len (100000) is greater than the derived max_model_len (256).',
      '(APIServer pid=12)     For further information visit https://errors.pydantic.dev/2.14/v/value_error',
    ].join('\n'),
  );
  process.exit(1);
}
