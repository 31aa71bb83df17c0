import { parseContainerId } from '../../src/host/container-id.js';
import { effectiveUserOf, userNameOf } from '../../src/host/process-user.js';

const ID = 'a'.repeat(60) + '0123';
const INNER = 'b'.repeat(60) + '4567';

describe('the container of a cgroup', () => {
  it.each([
    ['version 2, systemd', `0::/system.slice/docker-${ID}.scope\n`, ID],
    ['version 2, cgroupfs', `0::/docker/${ID}\n`, ID],
    ['version 1', `12:memory:/docker/${ID}\n11:cpu,cpuacct:/docker/${ID}\n`, ID],
    ['version 1, named hierarchy', `1:name=systemd:/docker/${ID}/init.scope\n`, ID],
    ['rootless', `0::/user.slice/user-1000.slice/user@1000.service/docker-${ID}.scope\n`, ID],
    ['containerd of Kubernetes', `0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-${ID}.scope\n`, ID],
    [
      'containerd with a colon',
      `0::/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:${ID}\n`,
      ID,
    ],
    ['Podman', `0::/machine.slice/libpod-${ID}.scope/container\n`, ID],
    ['Docker in Docker', `0::/docker/${ID}/docker/${INNER}\n`, INNER],
    ['a host process', '0::/user.slice/user-0.slice/session-1.scope\n', undefined],
    ['the root', '0::/\n', undefined],
    ['too short', `0::/docker/${ID.slice(1)}\n`, undefined],
    ['too long', `0::/docker/${ID}0\n`, undefined],
    ['upper case', `0::/docker/${ID.toUpperCase()}\n`, undefined],
    ['no path', ID, undefined],
    ['nothing', '', undefined],
  ])('%s', (_what, cgroup, expected) => {
    expect(parseContainerId(cgroup)).toBe(expected);
  });
});

describe('the user of a process', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/bash\nbroken\n:x:7:7::/:\nalice:x:1000:1000:A:/home/a:/bin/sh\n';

  it.each([
    [0, 'root'],
    [1000, 'alice'],
    [1001, '1001'],
    [7, '7'],
  ])('%i is %s', (id, name) => {
    expect(userNameOf(id, passwd)).toBe(name);
  });

  it('is the effective one', () => {
    expect(effectiveUserOf('Name:\tsleep\nUid:\t1\t2\t3\t4\nGid:\t5\t5\t5\t5\n')).toBe(2);
    expect(() => effectiveUserOf('Name:\tsleep\n')).toThrow('Uid');
  });
});
