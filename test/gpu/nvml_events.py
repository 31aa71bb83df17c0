"""Asks NVML itself, without the service, whether Xid errors of the first GPU can be waited for: prints its code, 0 is yes."""

import ctypes
import sys

XID_CRITICAL_ERROR = 8

nvml = ctypes.CDLL(sys.argv[1])
nvml.nvmlInit_v2()
device, events = ctypes.c_void_p(), ctypes.c_void_p()
nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device))
code = nvml.nvmlEventSetCreate(ctypes.byref(events))
if code == 0:
    code = nvml.nvmlDeviceRegisterEvents(device, ctypes.c_ulonglong(XID_CRITICAL_ERROR), events)
print(code)
