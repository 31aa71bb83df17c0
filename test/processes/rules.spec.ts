import { parsePsLine, parseStat } from '../../src/host/process-identity.js';
import { describeCommand } from '../../src/processes/command-line.js';
import { parsePid, PidInvalidError } from '../../src/processes/pid.js';
import type { ProcessFacts } from '../../src/host/process-facts.js';
import { refusalOf } from '../../src/processes/protection.js';
import { outOfScope, type Scope } from '../../src/processes/scope.js';
import { facts, gpu } from './rig.js';

const SELF = { pid: 900, ancestors: [800, 700, 1] };

describe('which processes are never ended', () => {
  const shim = '/usr/bin/containerd-shim-runc-v2';
  it.each<[string, Partial<ProcessFacts>, 'absent' | 'forbidden' | 'allowed']>([
    ['any other process', {}, 'allowed'],
    ["root's process", { userId: 0 }, 'allowed'],
    ['a process without a command line', { command: [] }, 'allowed'],
    ['a child of this service', { parentPid: SELF.pid }, 'allowed'],
    ['a child of pid 2, which in a container is no kernel thread', { parentPid: 2 }, 'allowed'],
    ['a zombie', { alive: false, state: 'Z' }, 'absent'],
    ['a thread', { threadGroupId: 4241 }, 'absent'],
    ['pid 1', { pid: 1, userId: 0, name: 'systemd' }, 'forbidden'],
    [
      'a kernel thread',
      { isKernelThread: true, userId: 0, name: 'kworker/0:1', executable: null, command: [] },
      'forbidden',
    ],
    ['this service', { pid: SELF.pid }, 'forbidden'],
    ['the parent of this service', { pid: 800 }, 'forbidden'],
    ['the grandparent of this service', { pid: 700 }, 'forbidden'],
    ['the Docker daemon', { userId: 0, name: 'dockerd', executable: '/usr/bin/dockerd' }, 'forbidden'],
    ['a rootless Docker daemon', { name: 'dockerd', executable: '/home/ada/bin/dockerd' }, 'forbidden'],
    ['a rootless daemon’s parent', { name: 'rootlesskit', executable: '/usr/bin/rootlesskit' }, 'forbidden'],
    ['a renamed Docker daemon', { userId: 0, name: 'x', executable: '/usr/bin/dockerd' }, 'forbidden'],
    ['containerd', { userId: 0, name: 'containerd', executable: '/usr/bin/containerd' }, 'forbidden'],
    ['its shim', { userId: 0, name: 'containerd-shim', executable: shim }, 'forbidden'],
    [
      'its shim, seen from a container',
      { userId: 0, name: 'containerd-shim', executable: null },
      'forbidden',
    ],
    [
      'a port forwarder',
      { userId: 0, name: 'docker-proxy', executable: '/usr/bin/docker-proxy' },
      'forbidden',
    ],
    [
      'a wrapped daemon',
      { userId: 0, name: '.dockerd-wrappe', executable: '/nix/.dockerd-wrapped', command: ['/run/dockerd'] },
      'forbidden',
    ],
    ['another user’s hidden program of that name', { name: 'dockerd', executable: null }, 'forbidden'],
    ['a program that has chosen that name', { name: 'dockerd', command: ['dockerd'] }, 'allowed'],
    [
      'a program with such a name in it',
      { userId: 0, name: 'dockerd-exporter', executable: null },
      'allowed',
    ],
    ['a program that is given such a name', { userId: 0, command: ['grep', 'dockerd'] }, 'allowed'],
    [
      'a container’s own init',
      { userId: 0, name: 'docker-init', executable: '/sbin/docker-init' },
      'allowed',
    ],
  ])('%s', (_what, over, expected) => {
    expect(refusalOf(facts(over), SELF)?.kind ?? 'allowed').toBe(expected);
  });
});

describe('which processes are in scope', () => {
  const onGpu = { pid: 600, name: 'python3', memoryMiB: null };
  const gpus = [gpu(), gpu({ id: 1, processes: [onGpu] })];

  it.each<[Scope, string, number, boolean, boolean]>([
    ['any', 'any process', 4242, false, true],
    ['gpu', 'a process on a GPU', 600, false, true],
    ['gpu', 'a process of a server', 500, true, true],
    ['gpu', 'another', 4242, false, false],
    ['managed', 'a process of a server', 500, true, true],
    ['managed', 'a process on a GPU', 600, false, false],
    ['managed', 'another', 400, false, false],
  ])('%s: %s', async (scope, _what, pid, isManaged, expected) => {
    const reason = await outOfScope(pid, scope, { isManaged, gpus: () => Promise.resolve(gpus) });
    expect(reason === undefined).toBe(expected);
    if (reason !== undefined) expect(reason).toContain(`processes.scope is "${scope}"`);
  });

  it('says which GPUs could not be read', async () => {
    const reason = await outOfScope(4242, 'gpu', {
      isManaged: false,
      gpus: () => Promise.resolve([gpu(), gpu({ id: 3, error: 'GPU is lost' })]),
    });
    expect(reason).toContain('that could be read (not: 3)');
  });

  it('asks for nothing that the scope does not need', async () => {
    const unused = (): never => {
      throw new Error('asked');
    };
    const managed = { isManaged: true, gpus: unused };
    await expect(outOfScope(4242, 'any', { isManaged: false, gpus: unused })).resolves.toBeUndefined();
    await expect(outOfScope(500, 'gpu', managed)).resolves.toBeUndefined();
    await expect(outOfScope(500, 'managed', managed)).resolves.toBeUndefined();
  });
});

describe('pids', () => {
  it.each([
    ['1', 1],
    ['12345', 12_345],
    ['4194304', 4_194_304],
  ])('%s', (text, pid) => {
    expect(parsePid(text)).toBe(pid);
  });

  it.each([
    '',
    '0',
    '00',
    '-1',
    '-0',
    '+5',
    '05',
    '5.0',
    '5e0',
    '0b1',
    '5_0',
    '5n',
    '4194305',
    'NaN',
    '５',
    '5\n',
  ])('not %j', (text) => {
    expect(() => parsePid(text)).toThrow(PidInvalidError);
  });
});

describe('the kernel’s own words', () => {
  const line = (pid: number, name: string, state: string, parent: number, flags: number): string =>
    `${pid} (${name}) ${state} ${parent} 0 0 0 -1 ${flags} 0 0 0 0 0 4 0 0 20 0 1 0 24 0 0 0\n`;

  const whereThereIsProc = process.platform === 'linux' ? it : it.skip;
  whereThereIsProc('tell a kernel thread by its flag', () => {
    expect(parseStat(line(2, 'kthreadd', 'S', 0, 2_129_984))?.isKernelThread).toBe(true);
    expect(parseStat(line(12, 'kworker/0:1) R 1', 'I', 2, 69_238_880))?.isKernelThread).toBe(true);
    expect(parseStat(line(4242, 'cat', 'D', 2, 4_194_304))).toMatchObject({
      isKernelThread: false,
      state: 'D',
    });
  });
});

describe('the words of ps', () => {
  it('tell who, since when, and in what state', () => {
    expect(parsePsLine('  501     1   501 U+   Mon Nov 23 22:24:01 2026    ')).toMatchObject({
      pid: 501,
      parentPid: 1,
      startTime: 'Mon Nov 23 22:24:01 2026',
      state: 'U',
      alive: true,
    });
    expect(parsePsLine('  502   501   501 Z+   Mon Nov 23 22:24:01 2026')).toMatchObject({ alive: false });
    expect(parsePsLine('')).toBeUndefined();
  });
});

describe('command lines in the log', () => {
  it('hold no secrets and no novels', () => {
    expect(describeCommand(['vllm', 'serve', '--api-key', 'hush', '--port=1', '--hf-token=hush'])).toBe(
      'vllm serve --api-key *** --port=1 --hf-token=***',
    );
    expect(describeCommand(['env', 'AWS_SECRET=hush', 'x'])).toBe('env AWS_SECRET=*** x');
    expect(describeCommand(['--token', '--keyboard', 'us'])).toBe('--token --keyboard us');
    expect(describeCommand(['x'.repeat(1000)])).toHaveLength(201);
  });

  it.each<[shown: string, ...command: string[]]>([
    ['curl -H Authorization: ***', 'curl', '-H', 'Authorization: Bearer hush'],
    ['curl --header=Authorization: ***', 'curl', '--header=Authorization: Bearer hush'],
    ['x Authorization:*** Bearer ***', 'x', 'Authorization:', 'Bearer', 'hush'],
    ['x Bearer ***', 'x', 'Bearer hush'],
    ['x bearer ***', 'x', 'bearer', 'hush'],
    ['curl -H authorization: ***', 'curl', '-H', 'authorization: Basic hush'],
    ['curl -H X-Api-Key: ***', 'curl', '-H', 'X-Api-Key: hush'],
    ['curl -H Cookie: ***', 'curl', '-H', 'Cookie: session=hush'],
    ['x {"api_key":"***', 'x', '{"api_key":"hush","a":1}'],
    ['git clone https://ada:***@host/x.git', 'git', 'clone', 'https://ada:hush@host/x.git'],
    ['git clone https://***@host/x.git', 'git', 'clone', 'https://hush@host/x.git'],
    ['x --db=postgres://ada:***@db/x', 'x', '--db=postgres://ada:hush@db/x'],
    ['x redis://:***@db:6379/0', 'x', 'redis://:hu@s/h@db:6379/0'],
    ['x https://host/x?access_token=***', 'x', 'https://host/x?access_token=hush&page=hush'],
    ['x https://host/x?a=1&X-Amz-Signature=***', 'x', 'https://host/x?a=1&X-Amz-Signature=hush'],
    ['mysql -u root -p***', 'mysql', '-u', 'root', '-phush'],
    ['mysql -p=***', 'mysql', '-p=hush'],
    ['sshpass -p *** ssh host', 'sshpass', '-p', 'hush', 'ssh', 'host'],
    ['unzip -P *** x.zip', 'unzip', '-P', 'hush', 'x.zip'],
    ['sh -c mysql -p***', 'sh', '-c', 'mysql -phush db'],
    ['sh -c x --password ***', 'sh', '-c', 'x --password hush'],
    ['sh -c curl -H "Authorization: ***', 'sh', '-c', 'curl -H "Authorization: Bearer hush" https://host'],
    ['curl -u ada:*** host', 'curl', '-u', 'ada:hush', 'host'],
    ['curl -uada:*** host', 'curl', '-uada:hush', 'host'],
    ['curl --user ada:*** host', 'curl', '--user', 'ada:hush', 'host'],
    ['curl --proxy-user=ada:*** host', 'curl', '--proxy-user=ada:hush', 'host'],
    ['x --passphrase *** --pass *** --pwd=***', 'x', '--passphrase', 'hush', '--pass', 'hush', '--pwd=hush'],
    ['x PGPASSWORD=*** SESSION_TOKEN=***', 'x', 'PGPASSWORD=hush hush', 'SESSION_TOKEN=hush'],
  ])('shows %s', (shown, ...command) => {
    expect(describeCommand(command)).toBe(shown);
  });

  it.each([
    ['vllm', 'serve', '/models/qwen', '--port', '8000', '--served-model-name', 'qwen'],
    ['python3', 'main.py', '--listen', '127.0.0.1', '--verbose'],
    ['x', 'http://127.0.0.1:8000/a@b', 'ada@host', 'oci://host/image@sha256:12', 'C:/a'],
    ['docker', 'run', 'image:tag', '--keyboard', 'us', '--tokenizer=x'],
  ])('leaves alone what is no secret: %s …', (...command) => {
    expect(describeCommand(command)).toBe(command.join(' '));
  });

  it.each(['a', '-', '-p', ',-u', ' -u a', '://', '://a:', '@', 'key', 'key ', 'key:', 'bearer ', ' ', '"'])(
    'takes no longer for a long command: %j',
    (part) => {
      const word = part.repeat(Math.ceil(500_000 / part.length));
      const began = performance.now();
      describeCommand([word]);
      describeCommand([`x ${word}`, word, word]);
      expect(performance.now() - began).toBeLessThan(1000);
    },
  );
});
