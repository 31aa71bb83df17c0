import * as z from 'zod';
import { callHttp, UnusableAnswerError } from '../../common/http/http-client.js';

const systemStats = z.object({
  devices: z
    .array(
      z.object({
        /** `cpu`, or `cuda:0 NVIDIA L4 : cudaMallocAsync`. */
        name: z.string(),
        type: z.string(),
        /** Bytes. */
        vram_total: z.number().nullish(),
      }),
    )
    .min(1),
});

/** By the id of the prompt; the last one alone is asked for. */
const history = z.record(z.string(), z.unknown());

const promptInfo = z.object({ exec_info: z.object({ queue_remaining: z.int().min(0) }) });

/** The device a ComfyUI computes on, as it says itself. */
export type ReportedDevice = z.infer<typeof systemStats>['devices'][number];

/**
 * ComfyUI's HTTP API, as far as a runner needs it. Every call throws the signal's reason, a system error, an Error where
 * ComfyUI itself is in trouble (5xx), or UnusableAnswerError.
 */
export class ComfyuiClient {
  constructor(private readonly baseUrl: string) {}

  /** Answers only when all nodes are imported. */
  async device(signal: AbortSignal): Promise<ReportedDevice> {
    const { devices } = await this.get('/system_stats', systemStats, signal);
    const [device] = devices;
    if (!device) throw new UnusableAnswerError(`${this.baseUrl}/system_stats names no device`);
    return device;
  }

  /** Prompts that wait or are worked on. */
  async queueRemaining(signal: AbortSignal): Promise<number> {
    return (await this.get('/prompt', promptInfo, signal)).exec_info.queue_remaining;
  }

  /** Id of the prompt that was done last; empty before the first. */
  async lastDone(signal: AbortSignal): Promise<string> {
    return Object.keys(await this.get('/history?max_items=1', history, signal)).at(-1) ?? '';
  }

  /** Gives memory back after the present prompt; does not wait for that. */
  async free(signal: AbortSignal): Promise<void> {
    await this.post('/free', { unload_models: true, free_memory: true }, signal);
  }

  async clearQueue(signal: AbortSignal): Promise<void> {
    await this.post('/queue', { clear: true }, signal);
  }

  /** Ends the present prompt at the next point where its node looks. */
  async interrupt(signal: AbortSignal): Promise<void> {
    await this.post('/interrupt', {}, signal);
  }

  private async get<T>(path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const url = this.baseUrl + path;
    const { status, body } = await callHttp({ method: 'GET', url, signal });
    if (status >= 500) throw new Error(`${url} answered ${status}: ${body.slice(0, 200)}`);
    if (status !== 200) throw new UnusableAnswerError(`${url} answered ${status}`);
    const result = schema.safeParse(parsed(body));
    if (!result.success) throw new UnusableAnswerError(`${url} answered what is not ComfyUI's`);
    return result.data;
  }

  private async post(path: string, body: unknown, signal: AbortSignal): Promise<void> {
    const url = this.baseUrl + path;
    const { status } = await callHttp({ method: 'POST', url, body, signal });
    if (status >= 400) throw new Error(`${url} answered ${status}`);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
