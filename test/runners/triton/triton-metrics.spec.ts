import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  progressIn,
  TritonMetrics,
  whyUncounted,
  workloadIn,
} from '../../../src/runners/triton/triton-metrics.js';

/** As Triton 25.04 prints it. */
const TEXT = `# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="MAM",version="1"} 4
nv_inference_request_success{model="MAM",version="2"} 1e+06
nv_inference_request_success{model="MAM2",version="1"} 400
nv_inference_request_failure{model="MAM",reason="OTHER",version="1"} 1
nv_inference_request_failure{model="MAM",reason="CANCELED",version="1"} 2
nv_inference_count{model="MAM",version="1"} 77
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="MAM2",version="1"} 9
nv_inference_pending_request_count{model="MAM",version="1"} 2
nv_inference_pending_request_count{model="MAM",version="2"} 3
nv_cpu_utilization 0.5
`;

describe('what the metrics say of a model', () => {
  it('is what waits and what is done, of all its versions and of no other model', () => {
    expect(workloadIn(TEXT, 'MAM')).toEqual({ open: 5, finished: 1_000_007 });
    expect(workloadIn(TEXT, 'MAM2')).toEqual({ open: 9, finished: 400 });
  });

  it.each([
    ['a model it does not count', TEXT, 'M'],
    ['an empty text', '', 'MAM'],
    ['rubbish', '\0\0{"nv_inference_pending_request_count": 1}<html>', 'MAM'],
    ['no count of what waits', 'nv_inference_request_success{model="MAM",version="1"} 4', 'MAM'],
    ['a negative count', 'nv_inference_pending_request_count{model="MAM"} -1', 'MAM'],
    ['no number', 'nv_inference_pending_request_count{model="MAM"} NaN', 'MAM'],
    ['an infinite number', `nv_inference_pending_request_count{model="MAM"} ${'9'.repeat(400)}`, 'MAM'],
    ['a line without an end', `nv_inference_pending_request_count{model="MAM"${'x'.repeat(1e6)}`, 'MAM'],
  ])('is nothing in %s', (_, text, model) => {
    expect(workloadIn(text, model)).toBeNull();
  });
});

describe('what the metrics say of the progress of a model', () => {
  const text = (reasons: string): string =>
    `${TEXT}nv_inference_exec_count{model="MAM",version="1"} 3\n${reasons}`;
  const failures = (reason: string, count: number): string =>
    `nv_inference_request_failure{model="MAM",reason="${reason}",version="2"} ${count}\n`;

  it('is what was done well, and what failed in the backend', () => {
    const metrics = text(failures('BACKEND', 5));
    expect(progressIn(metrics, 'MAM')).toEqual({
      open: 5,
      done: 1_000_004 + 6 + 3,
      succeeded: 1_000_004,
      failed: 6,
    });
  });

  it('is not what was turned away, or given up by its client', () => {
    const metrics = text(failures('REJECTED', 50) + failures('CANCELED', 50));
    expect(progressIn(metrics, 'MAM')).toMatchObject({ done: 1_000_004 + 1 + 3, failed: 1 });
  });

  it('is nothing of a model that it does not count', () => {
    expect(progressIn(TEXT, 'M')).toBeNull();
  });
});

describe('the metrics port', () => {
  let server: Server | undefined;

  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
    server = undefined;
  });

  async function answering(listener: RequestListener): Promise<TritonMetrics> {
    const listening = createServer(listener);
    server = listening;
    await once(listening.listen(0, '127.0.0.1'), 'listening');
    return new TritonMetrics(`http://127.0.0.1:${(listening.address() as AddressInfo).port}`);
  }

  it('is asked for /metrics', async () => {
    const metrics = await answering((request, response) => {
      response.end(request.url === '/metrics' ? TEXT : '');
    });
    expect(await metrics.workload('MAM', AbortSignal.timeout(5000))).toEqual({
      open: 5,
      finished: 1_000_007,
    });
  });

  it.each<[string, RequestListener, string]>([
    ['an error', (_, response) => response.writeHead(503).end(TEXT), 'the metrics answered 503'],
    ['a redirect', (_, response) => response.writeHead(302, { Location: '/' }).end(), 'answered 302'],
    [
      'an endless body',
      (_, response) => {
        const more = (): void => {
          while (!response.destroyed && response.write('nv_inference_x{model="MAM"} 1\n'.repeat(4000)));
        };
        response.on('drain', more);
        more();
      },
      'more than',
    ],
    ['half an answer', (_, response) => void response.write(TEXT, () => response.destroy()), 'broke off'],
  ])('with %s has no answer', async (_, listener, words) => {
    const metrics = await answering(listener);
    await expect(metrics.workload('MAM', AbortSignal.timeout(5000))).rejects.toThrow(words);
  });

  it('is read once for all models that look at the same time', async () => {
    let reads = 0;
    const metrics = await answering((_, response) => {
      reads += 1;
      response.end(TEXT);
    });
    const looks = ['MAM', 'MAM2', 'M'].map((model) => metrics.progress(model, AbortSignal.timeout(5000)));
    expect((await Promise.all(looks)).map((reading) => reading?.open)).toEqual([5, 9, undefined]);
    expect(reads).toBe(1);
  });

  it('that hangs is left at the deadline', async () => {
    const metrics = await answering(() => undefined);
    await expect(metrics.workload('MAM', AbortSignal.timeout(50))).rejects.toThrow('aborted due to timeout');
  });

  it('that nobody listens on is an error', async () => {
    const metrics = await answering(() => undefined);
    server?.close();
    await expect(metrics.workload('MAM', AbortSignal.timeout(5000))).rejects.toThrow('ECONNREFUSED');
  });
});

it.each<[boolean, string[]]>([
  [true, ['--allow-metrics=false']],
  [true, ['--allow-metrics', 'off']],
  [true, ['--log-verbose=1', '--allow-metrics=0']],
  [true, ['--allow-metrics=true', '--allow-metrics=False']],
  [false, ['--allow-metrics=false', '--allow-metrics=true']],
  [false, ['--allow-gpu-metrics=false']],
  [false, ['--allow-metrics']],
  [false, []],
])('turns the metrics off: %p, with %j', (isOff, args) => {
  expect(whyUncounted(args) !== undefined).toBe(isOff);
});
