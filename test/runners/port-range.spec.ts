import type { ServerInfo } from '../../src/launchers/launcher.js';
import { type OtherServers, type PortLease, PortRange } from '../../src/runners/port-range.js';
import { settled } from '../fakes/timers.js';

const never = (): AbortSignal => new AbortController().signal;

/** A server that was launched with a port. */
const server = (name: string, port: number): ServerInfo => ({
  id: `run-of-${name}`,
  name,
  labels: { port: String(port) },
  running: true,
  pid: 1,
  startedAt: null,
  exitCode: null,
});

let busy: Set<number>;
let range: PortRange;

beforeEach(() => {
  busy = new Set();
  range = new PortRange({
    from: 9000,
    to: 9003,
    inARow: 1,
    address: '127.0.0.1',
    setting: 'x.ports',
    portsOf: ({ port }) => [Number(port)],
    isPortTaken: (_address, port) => Promise.resolve(busy.has(port)),
  });
});

const noOthers: OtherServers = () => Promise.resolve([]);

const lease = (name: string, others = noOthers): Promise<PortLease> => range.of(name, others).lease(never());

/** A list of servers that the test answers. */
function slowList(): { list: OtherServers; answer: (...servers: ServerInfo[]) => void } {
  let resolve: (servers: readonly ServerInfo[]) => void = () => undefined;
  const asked = new Promise<readonly ServerInfo[]>((done) => {
    resolve = done;
  });
  return {
    list: () => asked,
    answer: (...servers) => {
      resolve(servers);
    },
  };
}

describe('a port of the range', () => {
  it('is none that another server has, that is leased, or that somebody listens on', async () => {
    busy.add(9002);
    const others = (): Promise<ServerInfo[]> => Promise.resolve([server('other', 9000)]);
    expect((await lease('a', others)).ports).toEqual([9001]);
    expect((await lease('b', others)).ports).toEqual([9003]);
    await expect(lease('c', others)).rejects.toMatchObject({ code: 'PORT_IN_USE' });
  });

  it("may be the server's own", async () => {
    await lease('a');
    expect((await lease('a', () => Promise.resolve([server('a', 9000)]))).ports).toEqual([9000]);
  });

  it('is of several in a row where a server wants several', async () => {
    const rows = new PortRange({
      from: 9000,
      to: 9005,
      inARow: 3,
      address: '127.0.0.1',
      setting: 'x.ports',
      portsOf: () => [],
      isPortTaken: (_address, port) => Promise.resolve(port === 9001),
    });
    const { ports } = await rows.of('a', noOthers).lease(never());
    expect(ports).toEqual([9003, 9004, 9005]);
    await expect(rows.of('b', noOthers).lease(never())).rejects.toThrow(
      'Port 9000 already in use, and so is every other of x.ports (9000–9005)',
    );
  });

  it('is one of several, wherever they are, where a server wants several by themselves', async () => {
    busy.add(9001);
    const some = (name: string, rows: number): Promise<PortLease> =>
      range.of(name, noOthers).lease(never(), rows);
    expect((await some('a', 2)).ports).toEqual([9000, 9002]);
    await expect(some('b', 2)).rejects.toThrow(
      /^Ports of x\.ports \(9000–9003\) already in use: b needs 2, and no more than 1 can be had/,
    );
    expect((await some('c', 1)).ports).toEqual([9003]);
    await expect(some('b', 2)).rejects.toThrow('Port 9000 already in use, and so is every other');
  });

  it('is free again when its lease is released, and no server has it', async () => {
    const first = await lease('a');
    first.release();
    await settled();
    expect((await lease('b')).ports).toEqual([9000]);
  });
});

describe('a look at the ports of a range', () => {
  const look = (name: string, rows = 1): Promise<readonly number[]> =>
    range.of(name, noOthers).look(never(), rows);

  it('keeps nobody from them, neither another look nor a lease', async () => {
    expect(await Promise.all(['a', 'b', 'c'].map((name) => look(name, 3)))).toEqual(
      Array.from({ length: 3 }, () => [9000, 9001, 9002]),
    );
    expect((await lease('d')).ports).toEqual([9000]);
  });

  it('passes over what others have or lease, and sees what is its own', async () => {
    busy.add(9001);
    await lease('a');
    expect(await look('b', 2)).toEqual([9002, 9003]);
    expect(await look('a', 2)).toEqual([9000, 9002]);
    const beside = range.of('b', () => Promise.resolve([server('other', 9002)]));
    expect(await beside.look(never())).toEqual([9003]);
    await expect(beside.look(never(), 2)).rejects.toThrow('b needs 2, and no more than 1 can be had');
  });
});

describe('a list of servers that hangs', () => {
  it('holds up no other lease', async () => {
    void lease('hung', () => new Promise(() => undefined));
    await settled();
    expect((await lease('a')).ports).toEqual([9000]);
    expect((await lease('b')).ports).toEqual([9001]);
  });

  it('ends with the signal, which it is given', async () => {
    const { signal, abort } = ((control) => ({
      signal: control.signal,
      abort: () => {
        control.abort(new Error('given up'));
      },
    }))(new AbortController());
    const list: OtherServers = (limit) =>
      new Promise((_resolve, reject) => {
        limit.addEventListener('abort', () => {
          reject(limit.reason as Error);
        });
      });
    const leased = expect(range.of('a', list).lease(signal)).rejects.toThrow('given up');
    abort();
    await leased;
    expect((await lease('b')).ports).toEqual([9000]);
  });

  it('that answers late gives no port that was leased meanwhile', async () => {
    const { list, answer } = slowList();
    const late = lease('late', list);
    expect((await lease('a')).ports).toEqual([9000]);
    answer();
    expect((await late).ports).toEqual([9001]);
  });
});

describe('a lease that is released while another list is under way', () => {
  it('still counts: its server may be launched, and missing in that list', async () => {
    const { list, answer } = slowList();
    const first = await lease('a');
    const late = lease('late', list);
    await settled();
    first.release(); // it is launched
    await settled();
    answer(); // as it was before the launch
    expect((await late).ports).toEqual([9001]);
  });

  it('counts, too, when it was leased after that list had begun', async () => {
    const { list, answer } = slowList();
    const late = lease('late', list);
    await settled();
    (await lease('a')).release();
    answer();
    expect((await late).ports).toEqual([9001]);
  });

  it('does not count for the server that had it', async () => {
    const { list, answer } = slowList();
    const first = await lease('a');
    const again = lease('a', list);
    await settled();
    first.release();
    answer();
    expect((await again).ports).toEqual([9000]);
  });

  it('counts once it is released twice, and only for lists that began before', async () => {
    const first = await lease('a');
    first.release();
    await settled();
    const { list, answer } = slowList();
    const late = lease('late', list);
    await settled();
    first.release();
    answer();
    expect((await late).ports).toEqual([9000]);
  });
});

it('many leases at once get a port each, whatever their lists do', async () => {
  const wide = new PortRange({
    from: 9000,
    to: 9031,
    inARow: 2,
    address: '127.0.0.1',
    setting: 'x.ports',
    portsOf: () => [],
    isPortTaken: () => Promise.resolve(false),
  });
  const lists = Array.from({ length: 16 }, slowList);
  const leases = lists.map(({ list }, index) => wide.of(`server-${index}`, list).lease(never()));
  for (const { answer } of lists.toReversed()) answer();
  const ports = (await Promise.all(leases)).flatMap((each) => each.ports);
  expect(new Set(ports).size).toBe(32);
});
