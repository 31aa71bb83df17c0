"""A file system that never answers, as NFS whose server is gone.

usage: hung_mount.py DIRECTORY

It is mounted over DIRECTORY, "mounted" is printed, and it is gone when stdin ends: what waits for it fails then.
Needs root. Source: include/uapi/linux/fuse.h
"""

import ctypes
import os
import struct
import sys

INIT = 26
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


def require(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def answer_first(device):
    """The kernel asks nothing else before this is answered. No later question is even read: who waits can be killed."""
    _, opcode, unique = struct.unpack_from("<IIQ", os.read(device, 1 << 17))
    assert opcode == INIT, opcode
    body = struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 12, 9, 1 << 16, 1, 16, 0, 0)
    os.write(device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)


def main():
    target = os.fsencode(os.path.realpath(sys.argv[1]))
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40755,user_id=0,group_id=0,allow_other"
    require(libc.mount(b"hung", target, b"fuse", 0, options.encode()))
    answer_first(device)
    print("mounted", flush=True)
    sys.stdin.read()
    require(libc.umount2(target, MNT_DETACH))


main()
