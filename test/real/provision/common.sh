# Sourced by the other scripts in this folder: settings and helpers they share.
# shellcheck shell=bash disable=SC2034

WORK_DIR=${MIC_REAL_DIR:-/var/tmp/mic-real}
LOG=$WORK_DIR/provision.log
DOCKERD_PIDFILE=$WORK_DIR/dockerd.pid
DOCKERD_LOG=$WORK_DIR/dockerd.log
HOOK_DIR=$WORK_DIR/bin
TRITON_IMAGE=${MIC_REAL_TRITON_IMAGE:-nvcr.io/nvidia/tritonserver:25.04-py3}
BROKEN_STUB_IMAGE=mic-test/triton-broken-stub:1
NO_TRITON_IMAGE=mic-test/no-tritonserver:1
VLLM_DIR=$WORK_DIR/vllm
VLLM_MODEL=$VLLM_DIR/tiny-llama

mkdir -p "$WORK_DIR"

# Shows a log's end without the names of the hosts that packages come from.
tail_of() {
  tail -n "${2:-20}" "$1" | sed -E 's#(https?|ftp)://[^/ ]+#\1://…#g; s#[a-z0-9.-]+\.(org|com|net|dev)\b#…#gI' >&2
}

fail() {
  echo "provision: $*" >&2
  exit 1
}

# Runs a command with its output in the log; shows the log's end if it fails.
logged() {
  echo "+ $*" >>"$LOG"
  "$@" >>"$LOG" 2>&1 </dev/null || {
    tail_of "$LOG"
    fail "failed: $1 ${2:-}"
  }
}

docker_answers() { docker info --format '{{.ServerVersion}}' >/dev/null 2>&1; }

image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

# Prints the pid in pidfile $1 if that process is alive and runs program $2 (a dead one not yet reaped has no "exe").
running() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ && $(readlink "/proc/$pid/exe") == */$2?(" (deleted)") ]] && echo "$pid"
}

our_dockerd() { running "$DOCKERD_PIDFILE" dockerd; }

# Asks apt about the Debian release of this machine: "URI" or "SOURCESENTRY".
apt_source() {
  local release
  # shellcheck source=/dev/null
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  apt-get indextargets --format "\$($1)" \
    'Created-By: Packages' "Codename: $release" 'Component: main' | head -n 1
}
