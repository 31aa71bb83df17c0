import { parse } from 'yaml';
import { readFileSync } from 'node:fs';
import { type VllmConfig, vllmSection } from '../../../src/runners/vllm/vllm-section.js';
import { VllmRunner } from '../../../src/runners/vllm/vllm-runner.js';
import { standinVllm } from '../../fakes/vllm/standin-vllm.js';
import type { RunnerRig } from '../../support/runner-rig.js';

const MODELS = {
  quick: { model: 'standin', sleep_mode: true },
  failing: { model: 'standin?fail=memory' },
  slow: { model: 'standin?load_ms=60000' },
};

/** The section as `config/default.yaml` has it, with `changes` over it. */
export function vllmConfig(changes: Record<string, unknown> = {}): VllmConfig {
  const { runners } = parse(readFileSync('config/default.yaml', 'utf8')) as {
    runners: { vllm: Record<string, unknown> };
  };
  return vllmSection.parse({ ...runners.vllm, ...changes });
}

export function standinRunner(rig: RunnerRig, changes: Record<string, unknown> = {}): VllmRunner {
  return new VllmRunner(vllmConfig({ ...standinVllm(rig.ports, MODELS), ...changes }), rig.host());
}
