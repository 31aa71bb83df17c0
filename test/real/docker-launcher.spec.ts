import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DockerLauncher } from '../../src/launchers/docker/docker-launcher.js';
import {
  ImageMissingError,
  LaunchFailedError,
  type LaunchSpec,
  NameTakenError,
  OWNER_LABEL,
  PortInUseError,
} from '../../src/launchers/launcher.js';
import { launcherContract } from '../contracts/launcher-contract.js';
import type { LauncherHarness, Programs } from '../contracts/launcher/rig.js';
import { docker, engineAnswers, removeContainersOf } from '../support/docker.js';
import { freePorts } from '../support/ports.js';

/** Made by test/real/provision: a shell and `sleep`. */
const IMAGE = 'mic-test/no-tritonserver:1';
const TIMEOUT_MS = 60_000;
const never = new AbortController().signal;

function shell(script: string): Partial<LaunchSpec> {
  return { image: IMAGE, command: ['/bin/sh', '-c', script] };
}

const programs: Programs = {
  polite: shell('exec sleep 600'),
  stubborn: shell(`trap '' TERM; echo ready; while :; do sleep 600; done`),
  interruptible: shell(`trap '' TERM; trap 'exit 0' INT; echo ready; while :; do sleep 0.1; done`),
  talkative: shell(
    String.raw`for i in 1 2 3 4 5; do [ $i = 3 ] && printf '\033[31mline 3\033[0m\n' || echo line $i; done; exec sleep 600`,
  ),
  shortLived: shell('echo going; sleep 0.3; exit 7'),
};

function launcherFor(owner: string): DockerLauncher {
  return new DockerLauncher({
    owner,
    socketPath: '/var/run/docker.sock',
    requestTimeoutMs: 30_000,
    pullTimeoutMs: 30_000,
  });
}

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

describeReal('the docker launcher keeps the contract of launchers', () => {
  launcherContract((): Promise<LauncherHarness> => {
    const owner = `mic-test-${randomUUID().slice(0, 8)}`;
    return Promise.resolve({
      programs,
      create: () => launcherFor(owner),
      cleanUp: () => removeContainersOf(owner),
    });
  }, TIMEOUT_MS);
});

describeReal('the docker launcher against a real Engine', () => {
  let owner: string;
  let launcher: DockerLauncher;
  let directory: string;

  beforeEach(async () => {
    owner = `mic-test-${randomUUID().slice(0, 8)}`;
    launcher = launcherFor(owner);
    directory = await mkdtemp(join(tmpdir(), 'mic-docker-'));
  });

  afterEach(async () => {
    await launcher.close();
    await removeContainersOf(owner);
    await rm(directory, { recursive: true, force: true });
  }, TIMEOUT_MS);

  function specOf(changes: Partial<LaunchSpec> = {}): LaunchSpec {
    return {
      name: `mic-test-${randomUUID().slice(0, 8)}`,
      labels: { 'model-inference-client.backend': 'test' },
      pull: 'never',
      command: [],
      env: {},
      ports: [],
      bindAddress: '127.0.0.1',
      mounts: [],
      gpus: { kind: 'none' },
      ulimits: [],
      stopGraceSeconds: 5,
      ...programs.polite,
      ...changes,
    };
  }

  function realCase(title: string, run: () => Promise<void>): void {
    it(title, run, TIMEOUT_MS);
  }

  async function launchError(spec: LaunchSpec): Promise<Error> {
    const error: unknown = await launcher.launch(spec, never).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Error);
    // Whatever went wrong, no container is left.
    expect(await launcher.inspect(spec.name, never)).toBeUndefined();
    return error as Error;
  }

  realCase('passes on what the spec says', async () => {
    await writeFile(join(directory, 'file'), 'content');
    const [port = 0] = await freePorts(1);
    const spec = specOf({
      env: { GREETING: 'hello there' },
      ports: [{ name: 'http', port }],
      mounts: [{ hostPath: directory, serverPath: '/data', readOnly: true }],
      shmSizeBytes: 128 * 2 ** 20,
      memoryBytes: 64 * 2 ** 20,
      ulimits: [{ name: 'nofile', soft: 512, hard: 512 }],
      stopGraceSeconds: 7,
    });
    await launcher.launch(spec, never);
    const { Config, HostConfig } = await docker.getContainer(spec.name).inspect();
    expect(Config.Env).toContain('GREETING=hello there');
    expect(Config.Env).toContain('NVIDIA_VISIBLE_DEVICES=void');
    expect(Config.Labels[OWNER_LABEL]).toBe(owner);
    expect(HostConfig).toMatchObject({
      PortBindings: { [`${port}/tcp`]: [{ HostIp: '127.0.0.1', HostPort: String(port) }] },
      ShmSize: 128 * 2 ** 20,
      Memory: 64 * 2 ** 20,
      AutoRemove: false,
      Init: true,
      Ulimits: [{ Name: 'nofile', Soft: 512, Hard: 512 }],
      Mounts: [{ Type: 'bind', Source: directory, Target: '/data', ReadOnly: true }],
      LogConfig: { Type: 'json-file', Config: { 'max-size': '20m', 'max-file': '2' } },
    });
  });

  realCase('asks the Engine for GPUs, all or some', async () => {
    const all = specOf({ gpus: { kind: 'all' } });
    const some = specOf({ gpus: { kind: 'devices', ids: ['0', 'GPU-1234'] } });
    await launcher.launch(all, never);
    await launcher.launch(some, never);
    const ofAll = await docker.getContainer(all.name).inspect();
    const ofSome = await docker.getContainer(some.name).inspect();
    expect(ofAll.HostConfig.DeviceRequests).toMatchObject([{ Count: -1, Capabilities: [['gpu']] }]);
    expect(ofSome.HostConfig.DeviceRequests).toMatchObject([
      { DeviceIDs: ['0', 'GPU-1234'], Capabilities: [['gpu']] },
    ]);
    expect(ofAll.Config.Env).toContain('CUDA_DEVICE_ORDER=PCI_BUS_ID');
  });

  realCase('F29: takes out of an image what would decide about GPUs, or is withheld', async () => {
    const container = await docker.createContainer({
      Image: IMAGE,
      Cmd: ['/bin/true'],
      Env: ['CUDA_VISIBLE_DEVICES=9', 'TEST_WITHHELD=9', 'TEST_KEPT=9'],
      Labels: { [OWNER_LABEL]: owner },
    });
    const image = `${owner}:own`;
    await container.commit({ repo: owner, tag: 'own' });
    try {
      const print = { ...shell('env; exec sleep 600'), image };
      const spec = specOf({ ...print, gpus: { kind: 'none' }, withheld: ['TEST_WITHHELD'] });
      await launcher.launch(spec, never);
      const { Config } = await docker.getContainer(spec.name).inspect();
      const names = Config.Env.filter((line) => line.includes('=')).map((line) => line.replace(/=.*/, ''));
      expect(names).toContain('TEST_KEPT');
      expect(names.filter((name) => ['CUDA_VISIBLE_DEVICES', 'TEST_WITHHELD'].includes(name))).toEqual([]);
      const lines = await launcher.logs(spec.name, 50, never);
      expect(lines.filter((line) => /^(CUDA_VISIBLE_DEVICES|TEST_WITHHELD)=/.test(line))).toEqual([]);
      expect(lines).toContain('TEST_KEPT=9');
    } finally {
      await removeContainersOf(owner);
      await docker.getImage(image).remove({ force: true });
    }
  });

  realCase('names the container that has a port', async () => {
    const [port = 0] = await freePorts(1);
    const first = specOf({ ports: [{ name: 'http', port }] });
    await launcher.launch(first, never);
    const second = specOf({ ports: first.ports });
    const words = `Port ${port} already in use by container ${first.name}: `;
    await expect(launcher.check(second, never)).rejects.toThrow(words);
    const error = await launchError(second);
    expect(error).toBeInstanceOf(PortInUseError);
    expect(error.message).toContain(words);
  });

  realCase("never touches another's container, running or dead", async () => {
    const spec = specOf();
    const other = await docker.createContainer({
      name: spec.name,
      Image: IMAGE,
      Cmd: ['/bin/sh', '-c', 'exit 0'],
      Labels: { [OWNER_LABEL]: `${owner}-other` },
    });
    try {
      await expect(launcher.check(spec, never)).rejects.toBeInstanceOf(NameTakenError);
      await expect(launcher.launch(spec, never)).rejects.toThrow(`docker rm -f ${spec.name}`);
      await launcher.stop(spec.name, 0, never);
      expect(await launcher.inspect(spec.name, never)).toBeUndefined();
      expect(await launcher.inspect(other.id.slice(0, 12), never)).toBeUndefined();
      expect(await launcher.logs(spec.name, 10, never)).toEqual([]);
      expect((await other.inspect()).Id).toBe(other.id);
    } finally {
      await other.remove({ force: true });
    }
  });

  realCase('an image that is missing is named, with what to do', async () => {
    const image = 'mic-test/there-is-no-such-image:1';
    const words = `docker pull ${image}`;
    await expect(launcher.check(specOf({ image }), never)).rejects.toThrow(words);
    expect(await launchError(specOf({ image }))).toBeInstanceOf(ImageMissingError);
  });

  realCase('a command that the image has not is told by its exit and its output', async () => {
    const exit = new Promise((resolve) => launcher.onExit(resolve));
    const { name } = await launcher.launch(specOf({ command: ['/bin/tritonserver'] }), never);
    expect(await exit).toMatchObject({ name, exitCode: 127, reason: 'command not found' });
    expect((await launcher.logs(name, 5, never)).join()).toContain('exec /bin/tritonserver failed');
  });

  realCase(
    'a mount whose host directory is missing fails with the path, and leaves no container',
    async () => {
      const mounts = [{ hostPath: join(directory, 'missing'), serverPath: '/data', readOnly: true }];
      const error = await launchError(specOf({ mounts }));
      expect(error).toBeInstanceOf(LaunchFailedError);
      expect(error.message).toContain(join(directory, 'missing'));
    },
  );

  realCase('a server that runs out of memory says so', async () => {
    const script = `x=x; while :; do x="$x$x"; done`;
    const spec = specOf({ ...shell(script), memoryBytes: 16 * 2 ** 20 });
    const exit = new Promise((resolve) => launcher.onExit(resolve));
    await launcher.launch(spec, never);
    expect(await exit).toMatchObject({ name: spec.name, exitCode: 137 });
    expect(await launcher.inspect(spec.name, never)).toMatchObject({
      running: false,
      reason: expect.stringMatching(/^out of memory: memory_limit is \d+ MiB$/) as unknown,
    });
  });

  realCase('an exit that happened before anybody listened is told, when the server was known', async () => {
    const { id, name } = await launcher.launch(specOf(programs.shortLived), never);
    await docker.getContainer(id).wait();
    const exit = new Promise((resolve) => launcher.onExit(resolve));
    expect(await exit).toMatchObject({ id, name, exitCode: 7 });
  });

  it(
    'tells by a question asked inside whether a container reaches its GPUs',
    async () => {
      const answer = join(directory, 'answer');
      await writeFile(join(directory, 'nvidia-smi'), '#!/bin/sh\nbusybox cat /usr/local/bin/answer\n', {
        mode: 0o755,
      });
      const mounts = [{ hostPath: directory, serverPath: '/usr/local/bin', readOnly: true }];
      const spec = specOf({ ...programs.polite, mounts, env: { PATH: '/usr/local/bin:/bin' } });
      await launcher.launch(spec, never);
      const ask = () => launcher.gpuSight(spec.name, 0, never);
      await writeFile(answer, 'GPU 0: NVIDIA L4 (UUID: GPU-5f3c1d2e)\n');
      expect(await ask()).toBe('there');
      await writeFile(answer, 'Failed to initialize NVML: Unknown Error\n');
      expect(await ask()).toEqual({ lost: 'Failed to initialize NVML: Unknown Error' });
      await rm(join(directory, 'nvidia-smi'));
      expect(await ask()).toBe('unknown');
      const without = specOf(programs.polite);
      await launcher.launch(without, never);
      expect(await launcher.gpuSight(without.name, 0, never)).toBe('unknown');
    },
    TIMEOUT_MS,
  );
});
