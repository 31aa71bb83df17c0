import * as z from 'zod';
import { callHttp, type HttpAnswer, UnusableAnswerError } from '../../common/http/http-client.js';
import { ModelLoadError } from '../errors.js';

const indexSchema = z.array(
  z.object({
    name: z.string(),
    version: z.string().optional(),
    state: z.string().optional(),
    reason: z.string().optional(),
  }),
);

const configSchema = z.object({
  platform: z.string().default(''),
  instance_group: z
    .array(
      z.object({
        name: z.string().default(''),
        count: z.int().default(1),
        /** '': it does not say. */
        kind: z.string().default(''),
        gpus: z.array(z.int()).default([]),
      }),
    )
    .default([]),
  ensemble_scheduling: z
    .object({ step: z.array(z.object({ model_name: z.string() })).default([]) })
    .default({ step: [] }),
});

/** A row of the repository index: one model version. */
export type IndexRow = z.infer<typeof indexSchema>[number];
export type TritonModelConfig = z.infer<typeof configSchema>;

/** Triton answered, and not in the way it is documented to. */
export class TritonProtocolError extends UnusableAnswerError {}

/**
 * Triton's HTTP protocol: health, and the model repository extension.
 * Every call takes a signal, which is its only deadline, and throws its reason or a system error when nobody answers.
 */
export class TritonClient {
  constructor(readonly baseUrl: string) {}

  async isLive(signal: AbortSignal): Promise<boolean> {
    return (await this.get('/v2/health/live', signal)).status === 200;
  }

  async isModelReady(model: string, signal: AbortSignal): Promise<boolean> {
    return (await this.get(`/v2/models/${encodeURIComponent(model)}/ready`, signal)).status === 200;
  }

  /** What the model serves with; `undefined` while it is not loaded. */
  async modelConfig(model: string, signal: AbortSignal): Promise<TritonModelConfig | undefined> {
    const answer = await this.get(`/v2/models/${encodeURIComponent(model)}/config`, signal);
    return answer.status === 200 ? parseAs(configSchema, answer) : undefined;
  }

  /** The rows of one model; none when the repository does not have it. */
  async indexOf(model: string, signal: AbortSignal): Promise<IndexRow[]> {
    return (await this.index(signal)).filter((row) => row.name === model);
  }

  /** Every model version that Triton knows of. */
  async index(signal: AbortSignal): Promise<IndexRow[]> {
    const answer = await callHttp({
      method: 'POST',
      url: `${this.baseUrl}/v2/repository/index`,
      body: {},
      signal,
    });
    if (answer.status !== 200)
      throw new TritonProtocolError(`the index answered ${answer.status}: ${errorOf(answer)}`);
    return parseAs(indexSchema, answer);
  }

  /**
   * Loads or reloads; resolves when Triton is done.
   * @throws ModelLoadError with Triton's own words
   */
  async load(model: string, signal: AbortSignal): Promise<void> {
    const answer = await this.repositoryCall(model, 'load', signal);
    if (answer.status === 200) return;
    throw new ModelLoadError(`Triton could not load ${model}: ${errorOf(answer)}`, { status: answer.status });
  }

  /** Asks for the unload; resolves while the model may still be UNLOADING. */
  async unload(model: string, signal: AbortSignal): Promise<void> {
    const answer = await this.repositoryCall(model, 'unload', signal);
    if (answer.status !== 200)
      throw new TritonProtocolError(`the unload answered ${answer.status}: ${errorOf(answer)}`);
  }

  private get(path: string, signal: AbortSignal): Promise<HttpAnswer> {
    return callHttp({ method: 'GET', url: this.baseUrl + path, signal });
  }

  private repositoryCall(model: string, verb: 'load' | 'unload', signal: AbortSignal): Promise<HttpAnswer> {
    const url = `${this.baseUrl}/v2/repository/models/${encodeURIComponent(model)}/${verb}`;
    return callHttp({ method: 'POST', url, body: {}, signal });
  }
}

function parseAs<T>(schema: z.ZodType<T>, answer: HttpAnswer): T {
  try {
    return schema.parse(JSON.parse(answer.body));
  } catch (error) {
    throw new TritonProtocolError('Triton answered something that is not its protocol', { cause: error });
  }
}

const errorSchema = z.object({ error: z.string() });
const MAX_WORDS = 4000;

/** Triton's `{"error": …}`, or whatever else it said. */
function errorOf(answer: HttpAnswer): string {
  let words = answer.body;
  try {
    const parsed = errorSchema.safeParse(JSON.parse(answer.body));
    if (parsed.success) words = parsed.data.error;
  } catch {
    // Not JSON: its words are the body as it is.
  }
  return (words.trim() || `status ${answer.status}, no words`).slice(0, MAX_WORDS);
}
