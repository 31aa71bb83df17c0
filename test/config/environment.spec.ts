import { loadConfig } from '../../src/config/load-config.js';
import { strayVariables } from '../../src/config/environment.js';
import { backends } from '../../src/runners/backends.js';
import { DEFAULT_YAML } from '../fakes/house.js';
import { faultsOf, over } from './config-rig.js';

describe('the environment', () => {
  it('lies over both files', () => {
    const config = over('server: { port: 7000 }', {
      MIC_HOST: '::1',
      MIC_PORT: '7001',
      MIC_STATE_DIR: '/tmp/state',
      MIC_LOG_FILE: '/tmp/log',
    });
    expect(config.server).toMatchObject({ host: '::1', port: 7001 });
    expect(config.state.dir).toBe('/tmp/state');
    expect(config.log.file).toBe('/tmp/log');
  });

  it('says nothing where a variable is empty', () => {
    expect(loadConfig(DEFAULT_YAML, { MIC_PORT: '', MIC_CONFIG: '' }, backends).server.port).toBe(6004);
  });

  it.each(['six', '-1', '1e3', '70000', '80.5', ' 80'])('is refused with the port %j', (port) => {
    expect(faultsOf(() => loadConfig(DEFAULT_YAML, { MIC_PORT: port }, backends))).toEqual([
      expect.stringMatching(/^server\.port: MIC_PORT: /),
    ]);
  });
});

describe('a fault of a key that a variable sets', () => {
  const faults = (env: NodeJS.ProcessEnv): string[] =>
    faultsOf(() => loadConfig(DEFAULT_YAML, env, backends));

  it('names the variable, also where another key has the fault', () => {
    expect(faults({ MIC_PORT: '8000' })).toEqual([
      'runners.triton.http_port: 8000 overlaps server.port, set by MIC_PORT (8000): give each its own ports',
    ]);
    expect(faultsOf(() => over('server: { port: 8000 }'))).toEqual([
      'runners.triton.http_port: 8000 overlaps server.port (8000): give each its own ports',
    ]);
    expect(faults({ MIC_HOST: '0.0.0.0' })).toEqual([
      expect.stringMatching(/^server\.host: MIC_HOST: is reachable from other machines/),
    ]);
  });

  it('says what is expected', () => {
    expect(faults({ MIC_PORT: 'abc' })).toEqual([
      'server.port: MIC_PORT: Invalid input: expected number, received string',
    ]);
    expect(faults({ MIC_PORT: '70000' })).toEqual([
      'server.port: MIC_PORT: Too big: expected number to be <=65535',
    ]);
    expect(faultsOf(() => over('server: { port: "6004" }'))).toEqual([
      'server.port: Invalid input: expected number, received string',
    ]);
    expect(faultsOf(() => over('server: { port: }'))).toEqual(['server.port: is missing: expected number']);
  });

  it('names MIC_CONFIG where its file cannot be read', () => {
    expect(faults({ MIC_CONFIG: '/nowhere/x.yaml' })).toEqual([
      expect.stringMatching(/^\/nowhere\/x\.yaml: MIC_CONFIG: .*ENOENT/),
    ]);
    expect(faults({ MIC_CONFIG: '/' })).toEqual([expect.stringMatching(/^\/: MIC_CONFIG: .*EISDIR/)]);
  });
});

describe('variables of the environment that no one reads', () => {
  it('are told, with the known one that is most like each', () => {
    const env = {
      MIC_PROT: '1',
      MIC_STATEDIR: '/x',
      mic_port: '1',
      MIC_QUITE_OTHER: '',
      MIC_PORT: '6004',
      MIC_CONFIG: '/x',
      MIC_LAUNCH_NAME: 'x',
      PATH: '/bin',
    };
    expect(strayVariables(env)).toEqual([
      'MIC_PROT is no variable of this service, and is not read: is MIC_PORT meant?',
      'MIC_STATEDIR is no variable of this service, and is not read: is MIC_STATE_DIR meant?',
      'mic_port is no variable of this service, and is not read: is MIC_PORT meant?',
      'MIC_QUITE_OTHER is no variable of this service, and is not read',
    ]);
  });
});
