export interface Answer<T = Record<string, unknown>> {
  readonly status: number;
  readonly body: T;
}

/** `error` of a placement, as the status has it. */
export interface PlacementErrorView {
  readonly code: string;
  readonly message: string;
  readonly log?: readonly string[];
}

/** The API of a service, as a client on the same host has it. */
export class ServiceClient {
  /** Longest time, ms, that an answer may take. */
  limitMs = 30_000;

  constructor(readonly port: number) {}

  async get<T = Record<string, unknown>>(path: string): Promise<Answer<T>> {
    return this.call<T>('GET', path);
  }

  async call<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer<T>> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.port}${path}`, {
        method,
        signal: AbortSignal.timeout(this.limitMs),
        headers: { ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: JSON.parse(text === '' ? 'null' : text) as T };
    } catch (error) {
      // Jest's realm has another TypeError than fetch: by name, not by class.
      if ((error as Error).name === 'TypeError') return { status: 0, body: {} as T };
      throw error;
    }
  }

  start(model: string, gpu: number, config?: Record<string, unknown>): Promise<Answer> {
    return this.call('POST', '/api/v1/models/start', {
      model_name: model,
      gpu_id: gpu,
      ...(config && { config }),
    });
  }

  stop(model: string, gpu: number, manner: Record<string, unknown> = {}): Promise<Answer> {
    return this.call('POST', '/api/v1/models/stop', { model_name: model, gpu_id: gpu, ...manner });
  }

  /** `MAM@0:RUNNING` for every placement listed, sorted. */
  async placements(): Promise<string[]> {
    const { body } =
      await this.get<{ model_name: string; gpu_id: number; status: string }[]>('/api/v1/models/status');
    return body.map((item) => `${item.model_name}@${item.gpu_id}:${item.status}`).sort();
  }

  /** The first error among a model's placements. */
  async errorOf(model: string): Promise<PlacementErrorView | undefined> {
    const { body } = await this.get<{ error?: PlacementErrorView }[]>(`/api/v1/models/status/${model}`);
    return Array.isArray(body) ? body.find(({ error }) => error)?.error : undefined;
  }
}
