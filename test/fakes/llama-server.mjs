// A stand-in for llama.cpp's `llama-server`: its flags as far as the tests use them, /health, /metrics, /slots.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const argv = process.argv.slice(2);
let flags;
try {
  flags = parseArgs({
    args: argv,
    options: {
      model: { type: 'string', short: 'm' },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '8080' },
      'ctx-size': { type: 'string', short: 'c', default: '4096' },
      alias: { type: 'string', short: 'a', default: '' },
      metrics: { type: 'boolean', default: false },
    },
  }).values;
} catch (error) {
  console.error(`error: invalid argument: ${error instanceof Error ? error.message : ''}`);
  process.exit(1);
}

if (flags.model === undefined || flags.model.includes('missing')) {
  console.error(`llama_model_load: error loading model: failed to open ${flags.model ?? 'a model'}`);
  console.error('srv    load_model: failed to load model');
  process.exit(1);
}

const isEndless = flags.model.includes('endless');
const readyAt = Date.now() + 300;

function answer(response, status, body, type = 'application/json') {
  response.writeHead(status, { 'Content-Type': type });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

function error(response, code, message, type) {
  answer(response, code, { error: { code, message, type } });
}

createServer((request, response) => {
  const isLoading = isEndless || Date.now() < readyAt;
  if (isLoading) error(response, 503, 'Loading model', 'unavailable_error');
  else if (request.url === '/health') answer(response, 200, { status: 'ok' });
  else if (request.url === '/slots') answer(response, 200, [{ id: 0, is_processing: false }]);
  else if (request.url === '/metrics' && flags.metrics) {
    const text = [
      '# HELP llamacpp:requests_processing Number of requests processing.',
      '# TYPE llamacpp:requests_processing gauge',
      `llamacpp:requests_processing ${process.env.LLAMA_STANDIN_PROCESSING ?? 0}`,
      '# TYPE llamacpp:requests_deferred gauge',
      `llamacpp:requests_deferred ${process.env.LLAMA_STANDIN_DEFERRED ?? 0}`,
    ];
    answer(response, 200, `${text.join('\n')}\n`, 'text/plain; version=0.0.4');
  } else if (request.url === '/metrics') {
    error(response, 501, 'This server does not support metrics endpoint.', 'not_supported_error');
  } else if (request.url === '/standin') {
    // Not of llama.cpp: what the process was given.
    answer(response, 200, {
      argv,
      greeting: process.env.GREETING ?? null,
      gpus: process.env.CUDA_VISIBLE_DEVICES,
    });
  } else error(response, 404, 'File Not Found', 'not_found_error');
}).listen(Number(flags.port), flags.host);
