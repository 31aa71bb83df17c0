import { parseTcpLine } from '../../src/host/tcp-table.js';

describe('a line of /proc/net/tcp', () => {
  it.each([
    [
      '   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0',
      { localPort: 8000, state: 'listening', inode: '4711' },
    ],
    [
      '   1: 00000000000000000000000001000000:1F40 0000000000000000FFFF00000100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0000000000000000 20 4 30 10 -1',
      { localPort: 8000, state: 'connected', inode: '12' },
    ],
    [
      '   2: 0100007F:1F40 0100007F:D432 08 00000000:00000000 00:00000000 00000000     0        0 13 1 0000000000000000 20 4 30 10 -1',
      { localPort: 8000, state: 'other', inode: '13' },
    ],
  ])('names port, state and inode', (line, socket) => {
    expect(parseTcpLine(line)).toEqual(socket);
  });

  it('says nothing where it is the heading, or half a line', () => {
    expect(
      parseTcpLine(
        '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
      ),
    ).toBeUndefined();
    expect(parseTcpLine('   0: 0100007F:1F40 00000000:0000 0A')).toBeUndefined();
    expect(parseTcpLine('')).toBeUndefined();
  });
});
