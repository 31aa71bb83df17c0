import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createRealTriton, TRITON_IMAGE } from '../test/support/real-triton.js';
import type { Figure } from './figures.js';
import type { Rounds } from './rounds.js';
import { median, timed } from './statistics.js';

const docker = (...command: string[]): Promise<unknown> => promisify(execFile)('docker', command);

/** How fast a start is answered on a real Docker Engine, with Triton's image; against `docker inspect`, in turns. */
export async function benchEngine({ rounds }: Rounds['engine']): Promise<Figure[]> {
  const isThere = await docker('image', 'inspect', TRITON_IMAGE).then(
    () => true,
    () => false,
  );
  if (!isThere) return [{ name: `skipped: no Engine that has ${TRITON_IMAGE}`, value: 1, unit: 'count' }];
  const service = await createRealTriton();
  try {
    await service.boot();
    const starts: number[] = [];
    const inspects: number[] = [];
    let refused = 0;
    for (let round = 0; round < rounds; round += 1) {
      const { ms, result } = await timed(() => service.start('MAM', 0));
      starts.push(ms);
      if (result.status !== 202) refused += 1;
      await service.until(async () => (await service.placements()).includes('MAM@0:RUNNING'), 60_000);
      inspects.push((await timed(() => docker('inspect', `triton_${service.instanceName}`))).ms);
      await service.stop('MAM', 0);
    }
    const ratio = median(starts.map((ms, round) => ms / (inspects[round] ?? 1)));
    return [
      { name: 'start on a real Engine is answered, median', value: median(starts), unit: 'ms' },
      { name: 'docker inspect, median', value: median(inspects), unit: 'ms' },
      { name: 'start ÷ docker inspect', value: ratio, unit: 'ratio', target: '≤ 3' },
      { name: 'refused', value: refused, unit: 'count', mustBe: 0 },
    ];
  } finally {
    await service.dispose();
  }
}
