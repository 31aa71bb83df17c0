#!/usr/bin/env bash
# Starts a Docker daemon in the background if none answers. It outlives this script; stop.sh ends it.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=common.sh
. "$here/common.sh"

# Docker passes device requests on only if it finds this hook; on a host without GPUs nothing is left to do for it.
if ! command -v nvidia-container-runtime-hook >/dev/null && [[ ! -x $HOOK_DIR/nvidia-container-runtime-hook ]]; then
  mkdir -p "$HOOK_DIR"
  printf '#!/bin/sh\nexit 0\n' >"$HOOK_DIR/nvidia-container-runtime-hook"
  chmod +x "$HOOK_DIR/nvidia-container-runtime-hook"
fi

docker_answers && exit 0

# After a crash or a reboot the pids in these files can be anybody's.
containerd_pidfile=/var/run/docker/containerd/containerd.pid
running "$containerd_pidfile" containerd >/dev/null || rm -f "$containerd_pidfile"
if ! pid=$(our_dockerd); then
  rm -f "$DOCKERD_PIDFILE"
  PATH=$HOOK_DIR:/usr/local/sbin:/usr/sbin:/sbin:$PATH \
    setsid nohup dockerd --host unix:///var/run/docker.sock --log-level warn \
    --data-root "$WORK_DIR/docker" --pidfile "$DOCKERD_PIDFILE" \
    >"$DOCKERD_LOG" 2>&1 </dev/null 9>&- &
  pid=$!
fi

for ((i = 0; i < 300; i++)); do
  docker_answers && exit 0
  kill -0 "$pid" 2>/dev/null || break
  sleep 0.2
done
tail_of "$DOCKERD_LOG" 30
fail 'dockerd ended, or did not answer within 60 s'
