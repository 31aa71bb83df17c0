import { ComfyuiRunner } from '../../../src/runners/comfyui/comfyui-runner.js';
import { runnerContract } from '../../contracts/runner-contract.js';
import { ComfyuiStandin } from '../../support/comfyui-standin.js';
import { RunnerRig } from '../../support/runner-rig.js';
import { comfyuiConfig } from './configs.js';

describe('ComfyUI keeps the contract of runners', () => {
  runnerContract(async () => {
    const rig = await RunnerRig.create();
    const standin = await ComfyuiStandin.create(rig.directory);
    await standin.behave({ import_fails: true }, 'broken');
    await standin.behave({ never_up: true }, 'endless');
    const config = comfyuiConfig({
      ...standin.location,
      ports: rig.ports,
      supported_models: ['chane_face', 'broken', 'endless'],
      model_configs: {
        broken: { workflow_dir: standin.workflowDir('broken') },
        endless: { workflow_dir: standin.workflowDir('endless') },
      },
    });
    return rig.harness({
      model: 'chane_face',
      failing: 'broken',
      endless: 'endless',
      sharesServer: false,
      create: () => new ComfyuiRunner(config, rig.host()),
    });
  }, 20_000);
});
