import { programPaths } from '../../src/runners/program-paths.js';

const pathsOf = (command: readonly string[]) =>
  programPaths(command.map((text, index) => ({ text, setting: `command.${index}` }))).map(
    ({ path, setting }) => `${setting}=${path}`,
  );

describe('the file that an interpreter is to run', () => {
  it.each([
    [['python3', '/srv/serve.py', '--port', '1'], 'command.1=/srv/serve.py'],
    [['/opt/venv/bin/python3.11', '-u', '/srv/serve.py'], 'command.2=/srv/serve.py'],
    [['/usr/bin/env', 'A=b', 'python3', '/srv/serve.py'], 'command.3=/srv/serve.py'],
    [['numactl', '--cpunodebind=0', 'python', '/srv/serve.py', '/srv/more'], 'command.3=/srv/serve.py'],
    [['bash', '/srv/run.sh'], 'command.1=/srv/run.sh'],
    [['bash', '-e', '/srv/run.sh'], 'command.2=/srv/run.sh'],
    [['node', '--enable-source-maps', '/srv/x.mjs'], 'command.2=/srv/x.mjs'],
    [['java', '-Xmx4g', '-cp', '/a:/b', '-jar', '/srv/x.jar'], 'command.5=/srv/x.jar'],
    [['python3', './serve.py'], `command.1=${process.cwd()}/serve.py`],
  ])('is that of %j', (command, expected) => {
    expect(pathsOf(command)).toEqual([expected]);
  });

  it.each([
    [['python3', '-m', 'serve', '/var/log/new']],
    [['python3', '-c', 'print()', '/var/new']],
    [['bash', '-lc', 'exec serve', '/var/new']],
    [['node', '--eval', 'x()', '/var/new']],
    [['python3', 'serve.py', '/var/new']],
    [['java', '-cp', '/a:/b', 'Main', '/var/new']],
    [['minio', 'server', '/data/new']],
    [['/opt/llama/llama-server', '--log-file', '/var/log/new']],
    [['python3', '/srv/{model}.py']],
    [['python3']],
    [[]],
  ])('is not known of %j', (command) => {
    expect(pathsOf(command)).toEqual([]);
  });
});
