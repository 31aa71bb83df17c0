#!/usr/bin/env bash
# Makes the root file system of the Triton test image: a minimal Debian with Triton's own binary, taken from the wheel
# that carries it on PyPI. The result, a tar file, stays in the work folder.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=common.sh
. "$here/common.sh"

tarball=$1
root=$WORK_DIR/rootfs
wheels=$WORK_DIR/wheels

fetch_triton() {
  rm -rf "$wheels"
  logged python3 "$here/../../../scripts/fetch-tritonserver.py" "$wheels" --python 3.11
}

make_debian() {
  rm -rf "$root"
  logged debootstrap --variant=minbase --include=python3-minimal,python3-numpy,libpython3.11 \
    bookworm "$root" "$(apt_source REPO_URI)"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/* \
    "$root/etc/apt/sources.list" "$root"/var/log/*
}

add_triton() {
  local from=$wheels/pytriton/tritonserver to=$root/opt/tritonserver
  mkdir -p "$to/lib"
  cp -a "$from/bin" "$from/backends" "$from/caches" "$to/"
  cp -a "$wheels"/nvidia_pytriton.libs/. "$to/lib/"
  chmod -R +rX "$to"
}

fetch_triton &
fetching=$!
make_debian
wait "$fetching"
add_triton
tar -C "$root" --numeric-owner -cf "$tarball.part" .
mv "$tarball.part" "$tarball"
rm -rf "$root" "$wheels"
