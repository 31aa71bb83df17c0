#!/bin/sh
# Checks the service on this host's NVIDIA GPUs. Needs the driver with nvidia-smi, and a Python with PyTorch for CUDA:
# python3, or the one that PYTHON names. Prints figures; the exit code is 0 when nothing is amiss. --help: the options.
here=$(dirname "$(readlink -f "$0")")
exec "$here/node" "$here/check.mjs" "$@"
