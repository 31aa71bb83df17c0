import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TritonRunner } from '../../../src/runners/triton/triton-runner.js';
import { runnerContract } from '../../contracts/runner-contract.js';
import { testConfig } from '../../fakes/house.js';
import { RunnerRig } from '../../support/runner-rig.js';

const ROOT = process.cwd();
const MODELS = {
  MAM: { load_seconds: 0.1 },
  Broken: { load_seconds: 0.1, fail_load: 'no such weights' },
  Endless: { hang_load: true },
};

async function writeModels(repository: string): Promise<void> {
  for (const [model, standin] of Object.entries(MODELS)) {
    const directory = join(repository, model);
    await mkdir(directory, { recursive: true });
    await cp(join(ROOT, 'demo/model_repository/MAM'), directory, { recursive: true });
    const template = await readFile(join(directory, 'config.pbtxt.template'), 'utf8');
    await writeFile(join(directory, 'config.pbtxt.template'), template.replaceAll('MAM', model));
    await writeFile(join(directory, 'standin.json'), JSON.stringify(standin));
  }
}

function runnerOf(rig: RunnerRig, dedicated: boolean): TritonRunner {
  const { triton } = testConfig().runners;
  const port = rig.firstPort;
  const config = {
    ...triton,
    launcher: 'process' as const,
    command: [process.execPath, join(ROOT, 'dist/standin/tritonserver.js')],
    model_repository_host_path: join(rig.directory, 'models'),
    runtime_host_path: null,
    http_port: port,
    grpc_port: port + 1,
    metrics_port: port + 2,
    dedicated_ports: { from: port + 3, to: port + 20 },
    exit_timeout_seconds: 1,
    api_timeout_seconds: 10,
    model_gpu_configs: { default: { instances_per_gpu: 1, use_dedicated_server: dedicated } },
    supported_models: Object.keys(MODELS),
  };
  return new TritonRunner(config, rig.host());
}

describe.each([
  ['shared', false],
  ['dedicated', true],
])('Triton in %s servers keeps the contract of runners', (_kind, dedicated) => {
  runnerContract(async () => {
    const rig = await RunnerRig.create();
    await writeModels(join(rig.directory, 'models'));
    return rig.harness({
      model: 'MAM',
      failing: 'Broken',
      endless: 'Endless',
      sharesServer: true,
      create: () => runnerOf(rig, dedicated),
    });
  }, 20_000);
});
