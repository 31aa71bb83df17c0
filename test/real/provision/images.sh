#!/usr/bin/env bash
# Builds the images of the real tests, each only if it isn't there.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=common.sh
. "$here/common.sh"

title() { echo "LABEL org.opencontainers.image.title=\"$1\""; }

triton() {
  local tarball=$WORK_DIR/triton-0.7.0-bookworm.tar
  [[ -f $tarball ]] || "$here/rootfs.sh" "$tarball"
  logged docker import --change "$(title "Triton's own binary on a minimal Debian, for tests")" \
    --change 'ENV PATH=/opt/tritonserver/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV LD_LIBRARY_PATH=/opt/tritonserver/lib' \
    --change 'WORKDIR /opt/tritonserver' --change 'CMD ["/bin/sh"]' "$tarball" "$TRITON_IMAGE"
}

# The stub of the Python backend can't start without this library, so every load hangs for ever.
broken_stub() {
  local container
  container=$(docker create --network none "$TRITON_IMAGE" sh -c 'rm /usr/lib/*/libpython3.11.so*')
  logged docker start --attach "$container"
  logged docker commit --change "$(title "Triton whose Python stub can't start, for tests")" \
    --change 'CMD ["/bin/sh"]' "$container" "$BROKEN_STUB_IMAGE"
  logged docker rm "$container"
}

no_triton() {
  local root
  root=$(mktemp -d "$WORK_DIR/busybox.XXXXXX")
  mkdir -p "$root/bin" "$root/tmp"
  cp "$(command -v busybox)" "$root/bin/busybox"
  ln -s busybox "$root/bin/sh"
  ln -s busybox "$root/bin/sleep"
  tar -C "$root" --owner=0 --group=0 -cf "$root.tar" .
  logged docker import --change "$(title 'A shell and no tritonserver, for tests')" \
    --change 'ENV PATH=/bin' --change 'CMD ["/bin/sh"]' "$root.tar" "$NO_TRITON_IMAGE"
  rm -rf "$root" "$root.tar"
}

image_exists "$TRITON_IMAGE" || triton
image_exists "$BROKEN_STUB_IMAGE" || broken_stub
image_exists "$NO_TRITON_IMAGE" || no_triton
