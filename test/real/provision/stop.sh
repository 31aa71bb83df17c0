#!/usr/bin/env bash
# Ends the Docker daemon that provision.sh started, and no other. Images and caches stay.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=common.sh
. "$here/common.sh"

pid=$(our_dockerd) || {
  echo 'dockerd: not running (not started by provision.sh, or ended)'
  exit 0
}
kill -TERM "$pid"
for ((i = 0; i < 300; i++)); do
  our_dockerd >/dev/null || {
    echo "dockerd: stopped ($pid)"
    exit 0
  }
  sleep 0.2
done
fail "dockerd ($pid) still runs 60 s after SIGTERM"
