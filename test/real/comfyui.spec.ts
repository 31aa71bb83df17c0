import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ComfyuiRunner } from '../../src/runners/comfyui/comfyui-runner.js';
import { runnerContract } from '../contracts/runner-contract.js';
import { comfyuiConfig } from '../runners/comfyui/configs.js';
import { EMPTY_IMAGE } from '../support/comfyui-standin.js';
import { freePorts } from '../support/ports.js';
import { processesOf } from '../support/processes.js';
import { RunnerRig } from '../support/runner-rig.js';
import { TestService } from '../support/service.js';

const { COMFYUI_PATH: path, COMFYUI_PYTHON: python } = process.env;
/** PyTorch alone takes seconds to import. */
const START_MS = 120_000;

/** There is no package of ComfyUI: it is never required, and said to be missing. */
function describeWithComfyui(): typeof describe.skip {
  if (path !== undefined && python !== undefined) return describe;
  process.stderr.write(
    'Tests of a real ComfyUI need COMFYUI_PATH (a checkout) and COMFYUI_PYTHON: it was not there, skipped.\n',
  );
  return describe.skip;
}

describeWithComfyui()('a real ComfyUI on the CPU', () => {
  const section = {
    comfyui_path: path ?? '',
    python: python ?? '',
    device: 'cpu',
    start_timeout_seconds: START_MS / 1000,
    stop_grace_seconds: 5,
  };

  describe('keeps the contract of runners', () => {
    runnerContract(async () => {
      const rig = await RunnerRig.create();
      const config = comfyuiConfig({
        ...section,
        ports: rig.ports,
        supported_models: ['chane_face', 'broken'],
        // Python says that this is no flag's value, and ends.
        model_configs: { broken: { args: ['--front-end-root', '/no/such/directory'] } },
      });
      return rig.harness({
        model: 'chane_face',
        failing: 'broken',
        sharesServer: false,
        create: () => new ComfyuiRunner(config, rig.host()),
      });
    }, START_MS);
  });

  it(
    'makes an image, and stops after its prompts',
    async () => {
      const [port = 0] = await freePorts(1);
      let output = '';
      const service = await TestService.create({
        process: true,
        models: {},
        runners: async (directory) => {
          output = join(directory, 'output');
          await mkdir(output);
          const own = { output_dir: output, drain_seconds: 60 };
          const models = { model_configs: { chane_face: own } };
          return { comfyui: { ...section, ...models, ports: { from: port, to: port + 10 } } };
        },
      });
      try {
        await service.boot();
        await service.start('chane_face', 0);
        const isRunning = async (): Promise<boolean> =>
          (await service.placements()).includes('chane_face@0:RUNNING');
        await service.until(isRunning, START_MS);
        const answer = await fetch(`http://127.0.0.1:${port}/prompt`, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify({ prompt: EMPTY_IMAGE }),
        });
        expect(answer.status).toBe(200);
        expect((await service.stop('chane_face', 0)).status).toBe(200);
        expect((await readdir(output)).filter((file) => file.endsWith('.png'))).toHaveLength(1);
        expect(await processesOf(service.stateDir)).toEqual([]);
      } finally {
        await service.dispose();
      }
    },
    START_MS * 2,
  );
});
