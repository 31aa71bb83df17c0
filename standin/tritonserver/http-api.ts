import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { modelMetadata, modelStatistics, SERVER_METADATA } from './descriptions.js';
import { inferThrough } from './ensembles.js';
import { infer, parseInference } from './inference.js';
import type { ModelLifecycle } from './lifecycle.js';
import { metricsText } from './metrics.js';
import { BodyTooLarge, readBody } from './request-body.js';
import { TritonError, toTritonError } from './triton-error.js';

interface Reply {
  status: number;
  body?: object | string;
  type?: 'application/json' | 'text/plain' | 'text/plain; charset=utf-8';
}

interface Route {
  method: 'GET' | 'POST';
  path: RegExp;
  /** `parameters` are the groups of `path`; `body` is '' for a GET. */
  answer: (parameters: Parameters, body: string) => Promise<Reply> | Reply;
}

interface Parameters {
  model: string;
  version: string | undefined;
}

const EMPTY_JSON: Reply = { status: 200, type: 'application/json' };
const MODEL = '/v2/models/(?<model>[^/]+)(?:/versions/(?<version>[0-9]+))?';

/** Triton's HTTP protocol over a lifecycle. */
export function inferenceApi(lifecycle: ModelLifecycle, strictReadiness: boolean): RequestListener {
  const serving = ({ model, version }: Parameters) => lifecycle.serving(model, version);
  const plain = (status: number, body?: object): Reply => ({
    status,
    type: 'text/plain',
    ...(body && { body }),
  });
  const routes: Route[] = [
    { method: 'GET', path: /^\/v2$/, answer: () => ({ status: 200, body: SERVER_METADATA }) },
    { method: 'GET', path: /^\/v2\/health\/live$/, answer: () => plain(200) },
    {
      method: 'GET',
      path: /^\/v2\/health\/ready$/,
      answer: () => plain(lifecycle.allReady || !strictReadiness ? 200 : 400),
    },
    {
      method: 'GET',
      path: /^\/v2\/models\/stats$/,
      answer: () => ({ status: 200, body: modelStatistics(lifecycle.served) }),
    },
    {
      method: 'GET',
      path: new RegExp(`^${MODEL}/ready$`),
      answer: (parameters) => {
        const ready = lifecycle.isReady(parameters.model, parameters.version);
        return ready ? plain(200) : plain(400, { error: 'Model version not ready' });
      },
    },
    {
      method: 'GET',
      path: new RegExp(`^${MODEL}$`),
      answer: (parameters) => ({ status: 200, body: modelMetadata(serving(parameters)) }),
    },
    {
      method: 'GET',
      path: new RegExp(`^${MODEL}/config$`),
      answer: (parameters) => ({ status: 200, body: serving(parameters).config }),
    },
    {
      method: 'GET',
      path: new RegExp(`^${MODEL}/stats$`),
      answer: ({ model, version }) => {
        if (!lifecycle.isReady(model, version)) {
          throw new TritonError('INVALID_ARG', `requested model '${model}' is not available`);
        }
        return { status: 200, body: modelStatistics([lifecycle.serving(model, version)]) };
      },
    },
    {
      method: 'POST',
      path: new RegExp(`^${MODEL}/infer$`),
      answer: async (parameters, body) => {
        const model = serving(parameters);
        const version = parameters.version ?? model.versions.at(-1) ?? '';
        const request = parseInference(parseJson(body), model.config);
        const { calls } = model.settings;
        const result = await model.execute(() => {
          if (calls !== undefined && !lifecycle.isReady(calls)) throw notReady(model.name, calls);
          return model.isEnsemble
            ? inferThrough(request, model.config, version, (step) => lifecycle.serving(step))
            : infer(request, model.config, version, model.settings);
        });
        return { status: 200, body: result };
      },
    },
    {
      method: 'POST',
      path: /^\/v2\/repository\/index$/,
      answer: async (_, body) => {
        const ready = body === '' ? undefined : field(parseJson(body), 'ready');
        if (ready !== undefined && typeof ready !== 'boolean') {
          throw new TritonError('INTERNAL', 'attempt to access JSON non-boolean as boolean');
        }
        return { status: 200, body: await lifecycle.index(ready) };
      },
    },
    {
      method: 'POST',
      path: /^\/v2\/repository\/models\/(?<model>[^/]+)\/load$/,
      answer: async ({ model }, body) => {
        const parameters = body === '' ? undefined : field(parseJson(body), 'parameters');
        if (typeof parameters === 'object' && parameters !== null && Object.keys(parameters).length > 0) {
          throw new TritonError(
            'UNSUPPORTED',
            'the stand-in loads a model as its directory says, without parameters',
          );
        }
        await lifecycle.load(model);
        return EMPTY_JSON;
      },
    },
    {
      method: 'POST',
      path: /^\/v2\/repository\/models\/(?<model>[^/]+)\/unload$/,
      answer: async ({ model }) => {
        await lifecycle.unload(model);
        return EMPTY_JSON;
      },
    },
  ];
  return listener(routes);
}

/** What the metrics port answers. */
export function metricsApi(lifecycle: ModelLifecycle): RequestListener {
  const type = 'text/plain; charset=utf-8';
  return listener([
    {
      method: 'GET',
      path: /^\/metrics$/,
      answer: () => ({ status: 200, body: metricsText(lifecycle.served), type }),
    },
  ]);
}

/** As Triton says it of a Python model that calls another. */
function notReady(model: string, called: string): TritonError {
  const words = `Failed to process the request(s) for model '${model}_0_0', message: TritonModelException: Model ${called} is not ready.`;
  return new TritonError('INTERNAL', words);
}

function listener(routes: readonly Route[]): RequestListener {
  return (request, response) => {
    void reply(routes, request).then((answer) => {
      send(response, answer);
    });
  };
}

async function reply(routes: readonly Route[], request: IncomingMessage): Promise<Reply> {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  for (const route of routes) {
    const match = route.path.exec(path);
    if (!match) continue;
    if (request.method !== route.method) return { status: 405, body: { error: 'Method Not Allowed' } };
    const { model = '', version } = match.groups ?? {};
    try {
      const body = route.method === 'POST' ? await readBody(request) : '';
      return await route.answer({ model, version }, body);
    } catch (thrown) {
      if (thrown instanceof BodyTooLarge)
        return { status: 413, body: { error: 'the request body is too large' } };
      const error = toTritonError(thrown);
      return { status: error.httpStatus, body: { error: error.message } };
    }
  }
  return { status: 404, body: { error: 'Not Found' }, type: 'text/plain' };
}

function send(response: ServerResponse, { status, body, type = 'application/json' }: Reply): void {
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  // An unread rest of a body would otherwise be taken for the next request.
  if (status === 413) response.setHeader('Connection', 'close');
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new TritonError('INTERNAL', `failed to parse the request JSON buffer: ${problem}`);
  }
}

function field(object: unknown, name: string): unknown {
  if (typeof object !== 'object' || object === null) return undefined;
  return Object.hasOwn(object, name) ? (object as Record<string, unknown>)[name] : undefined;
}
