#!/usr/bin/env bash
# Brings up the real parts of the real tests on a plain Debian 12 machine, as root: Docker, Triton, vLLM, NVIDIA's
# library.
# Run it as often as you like: what is there already stays. MIC_REAL_DIR is where it keeps things.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=common.sh
. "$here/common.sh"

((EUID == 0)) || fail 'needs root'
SECONDS=0

# Two at a time would be in each other's way.
exec 9>"$WORK_DIR/lock"
flock 9

"$here/packages.sh"
"$here/dockerd.sh"
"$here/images.sh"
"$here/vllm.sh"

version_of() { dpkg-query -W -f '${Version}' "$1"; }
id_of() { docker image inspect --format '{{.Id}}' "$1" | cut -c 8-19; }

echo "dockerd: $(docker info --format '{{.ServerVersion}}, storage {{.Driver}}'), $(
  if pid=$(our_dockerd); then echo "pid $pid, log $DOCKERD_LOG"; else echo 'not started by this script'; fi
)"
echo "libnvidia-ml1: $(version_of libnvidia-ml1)"
echo "libnvidia-ml-dev: $(version_of libnvidia-ml-dev)"
echo "gcc: $(version_of gcc)"
echo "vLLM: $(cat "$VLLM_DIR/venv/provisioned")"
for image in "$TRITON_IMAGE" "$BROKEN_STUB_IMAGE" "$NO_TRITON_IMAGE"; do
  echo "$image: $(id_of "$image")"
done
echo "provisioned in $SECONDS s"
