import { join } from 'node:path';

/** Configuration of `runners.vllm` that serves with the stand-in: each model behaves as its `model` says. */
export function standinVllm(
  ports: { readonly from: number; readonly to: number },
  models: Readonly<Record<string, Record<string, unknown>>>,
): Record<string, unknown> {
  return {
    launcher: 'process',
    command: [process.execPath, join(process.cwd(), 'test/fakes/vllm/vllm.mjs')],
    ports,
    start_timeout_seconds: 10,
    stop_grace_seconds: 3,
    models,
  };
}
