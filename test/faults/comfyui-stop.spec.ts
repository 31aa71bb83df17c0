import { describe, expect, it } from '@jest/globals';
import {
  boot,
  expectNothingLeft,
  images,
  output,
  prompt,
  service,
  start,
  untilBusy,
  useComfyui,
} from '../support/comfyui-service.js';

useComfyui();

describe('a stop of ComfyUI', () => {
  it('with a drain lets the prompts end that are there', async () => {
    await boot({ behaviour: { prompt_seconds: 0.6 } });
    await start(0);
    await prompt();
    await prompt();
    await untilBusy(2);
    expect(await service.stop('chane_face', 0, { drain_seconds: 20 })).toMatchObject({ status: 200 });
    expect(await images()).toHaveLength(2);
    await expectNothingLeft();
  });

  it('without one clears the queue and interrupts', async () => {
    await boot({ behaviour: { prompt_seconds: 20 } });
    await start(0);
    await prompt();
    await prompt();
    await untilBusy(2);
    const began = performance.now();
    expect(await service.stop('chane_face', 0)).toMatchObject({ status: 200 });
    expect(performance.now() - began).toBeLessThan(4000);
    expect(await images()).toEqual([]);
    const log = await output();
    expect(log).toMatch(/POST \/queue \{"clear":true\}\nPOST \/interrupt/);
    expect(log).toMatch(/Processing interrupted/);
    await expectNothingLeft();
  });

  it('of a node that heeds neither interrupt nor SIGINT comes to a forced end, and nothing is left', async () => {
    await boot({ behaviour: { prompt_seconds: 60, stubborn: true } });
    await start(0);
    await prompt();
    await untilBusy(1);
    const began = performance.now();
    expect(await service.stop('chane_face', 0, { drain_seconds: 1 })).toMatchObject({ status: 200 });
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(1900);
    expect(took).toBeLessThan(8000);
    await expectNothingLeft();
  });

  it('by force loses the prompt, at once', async () => {
    await boot({ behaviour: { prompt_seconds: 60, stubborn: true } });
    await start(0);
    await prompt();
    await untilBusy(1);
    const began = performance.now();
    expect(await service.stop('chane_face', 0, { force: true })).toMatchObject({ status: 200 });
    expect(performance.now() - began).toBeLessThan(2000);
    expect(await images()).toEqual([]);
    await expectNothingLeft();
  });
});
