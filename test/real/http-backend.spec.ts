import { randomUUID } from 'node:crypto';
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
