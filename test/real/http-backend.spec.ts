import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { httpSection } from '../../src/runners/http/http-section.js';
import { DockerLauncher } from '../../src/launchers/docker/docker-launcher.js';
import { isPortTaken } from '../../src/host/ports.js';
import { HttpRunner } from '../../src/runners/http/http-runner.js';
import { runnerContract } from '../contracts/runner-contract.js';
import { docker, engineAnswers, removeContainersOf } from '../support/docker.js';
import { freePorts } from '../support/ports.js';

/** Made by test/real/provision; it has Python. */
const IMAGE = 'nvcr.io/nvidia/tritonserver:25.04-py3';

async function imageIsThere(): Promise<boolean> {
  try {
    await docker.getImage(IMAGE).inspect();
    return true;
  } catch (error) {
    if (process.env.REQUIRE_REAL === '1') throw error;
    process.stderr.write(`No image ${IMAGE}: run test/real/provision/provision.sh. Its tests are skipped.\n`);
    return false;
  }
}

const describeReal = (await engineAnswers()) && (await imageIsThere()) ? describe : describe.skip;

describeReal('a backend with one server per placement, in containers of a real Engine', () => {
  runnerContract(async () => {
    const owner = `mic-test-${randomUUID().slice(0, 8)}`;
    const [port = 0] = await freePorts(1);
    const from = Math.min(port, 32_700);
    const python = { command: ['python3'], health_path: '/' };
    const config = httpSection.parse({
      ...{ enabled: true, launcher: 'docker', image_name: IMAGE, container_name: owner, device: 'cpu' },
      ...{ ports: { from, to: from + 20 }, start_timeout_seconds: 30, stop_grace_seconds: 2 },
      models: {
        files: {
          ...python,
          args: ['-m', 'http.server', '{port}', '--bind', '{host}'],
          stop_signal: 'SIGINT',
        },
        broken: { ...python, args: ['-c', 'raise SystemExit("no such weights")'] },
        endless: { ...python, args: ['-c', 'import time; time.sleep(600)'] },
      },
    });
    const launchers: DockerLauncher[] = [];
    return {
      ...{ model: 'files', failing: 'broken', endless: 'endless', sharesServer: false },
      create: () => {
        const launcher = new DockerLauncher({
          ...{ owner, socketPath: '/var/run/docker.sock', requestTimeoutMs: 30_000, pullTimeoutMs: 30_000 },
        });
        launchers.push(launcher);
        return new HttpRunner(config, {
          launchers: { get: () => launcher, peek: () => launcher },
          isPortTaken,
          pullTimeoutSeconds: 1,
        });
      },
      kill: ({ pid }) => {
        process.kill(pid ?? 0, 'SIGKILL');
      },
      cleanUp: async () => {
        for (const launcher of launchers) await launcher.close();
        await removeContainersOf(owner);
      },
    };
  }, 60_000);
});

/** Answers on three ports: nothing but `/ready` on the second, nothing but `/metrics` on the third. */
const THREE_PORTS = `
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
def serve(port, path, body):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == path else 404)
            self.end_headers()
            if self.path == path: self.wfile.write(body)
    ThreadingHTTPServer((sys.argv[1], int(port)), Handler).serve_forever()
for each in ((sys.argv[2], '/', b'x'), (sys.argv[3], '/ready', b''), (sys.argv[4], '/metrics', b'open_requests 2\\n')):
    threading.Thread(target=serve, args=each).start()
`;

describeReal('a server on several ports, in a container of a real Engine', () => {
  it('F40: has all of them published, and the next run of the service finds them', async () => {
    const owner = `mic-test-${randomUUID().slice(0, 8)}`;
    const [port = 0] = await freePorts(1);
    const from = Math.min(port, 32_700);
    const stranger = createServer().listen(from + 1, '127.0.0.1');
    const config = httpSection.parse({
      ...{ enabled: true, launcher: 'docker', image_name: IMAGE, container_name: owner, device: 'cpu' },
      ...{ ports: { from, to: from + 20 }, start_timeout_seconds: 30, stop_grace_seconds: 1 },
      models: {
        three: {
          command: ['python3'],
          ports: ['admin', 'metrics'],
          args: ['-c', THREE_PORTS, '{host}', '{port}', '{port.admin}', '{port.metrics}'],
          ...{ health_path: '/ready', health_port: 'admin' },
          drain: { path: '/metrics', port: 'metrics', metrics: ['open_requests'] },
        },
      },
    });
    const launchers: DockerLauncher[] = [];
    const run = (): HttpRunner => {
      const launcher = new DockerLauncher({
        ...{ owner, socketPath: '/var/run/docker.sock', requestTimeoutMs: 30_000, pullTimeoutMs: 30_000 },
      });
      launchers.push(launcher);
      const host = { launchers: { get: () => launcher, peek: () => launcher }, isPortTaken };
      return new HttpRunner(config, { ...host, pullTimeoutSeconds: 1 });
    };
    const { signal } = new AbortController();
    const context = { signal, gpus: [], wanted: () => [], onProgress: () => undefined, patienceMs: 0 };
    const deployment = { modelName: 'three', gpuIds: [0], options: {} };
    try {
      await run().start(deployment, context);
      const next = run();
      const [seen] = await next.getStatus(deployment, signal);
      const ports = { http: from, admin: from + 2, metrics: from + 3 };
      expect(seen).toMatchObject({ phase: 'ready', port: from, ports: new Map(Object.entries(ports)) });
      expect(seen).not.toHaveProperty('outdated');
      expect((await fetch(`http://127.0.0.1:${from}/`)).status).toBe(200);
      expect(await next.workload({ ...deployment, gpuIds: [] }, [0], signal)).toMatchObject({ open: 2 });
      await next.stop({ ...deployment, gpuIds: [] }, [0], context);
      expect(await next.getStatus(deployment, signal)).toMatchObject([{ phase: 'absent' }]);
    } finally {
      stranger.close();
      for (const launcher of launchers) await launcher.close();
      await removeContainersOf(owner);
    }
  }, 60_000);
});
