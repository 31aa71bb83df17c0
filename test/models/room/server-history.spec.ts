import type { Occupant } from '../../../src/models/room/occupant.js';
import { ServerHistory } from '../../../src/models/watch/server-history.js';

const PID = process.pid;
const on = (modelName: string, gpuId: number, pid = PID): Occupant => ({
  modelName,
  gpuId,
  pid,
  state: 'running',
  estimateMiB: null,
  policy: 'shared',
});

async function historyOf(...looks: Occupant[][]): Promise<ServerHistory> {
  const history = new ServerHistory();
  for (const look of looks) {
    history.note(look);
    await history.forgetEnded(look);
  }
  return history;
}

describe('the models that a server has had on a GPU', () => {
  it.each<[string, Occupant[][], boolean]>([
    ['one', [[on('A', 0)], [on('A', 0)]], true],
    ['one on this GPU, another on another', [[on('A', 0), on('B', 1)]], true],
    ['two at once', [[on('A', 0), on('B', 0)]], false],
    [
      'another before, with the GPU vacant in between',
      [[on('B', 0), on('C', 1)], [on('C', 1)], [on('A', 0)]],
      false,
    ],
    ['another before, with the server vacant in between', [[on('B', 0)], [], [on('A', 0)]], false],
  ])('%s', async (_name, looks, hadOne) => {
    expect(await (await historyOf(...looks)).hadOneModel(PID, { gpuId: 0 }, true)).toBe(hadOne);
  });

  it('are forgotten when it has ended', async () => {
    const beyond = 5_000_001;
    const history = await historyOf([on('B', 0, beyond)], [], [on('A', 0, beyond)]);
    expect(await history.hadOneModel(beyond, { gpuId: 0 }, true)).toBe(true);
  });
});
