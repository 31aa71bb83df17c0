#!/usr/bin/env bash
# Installs the Debian packages that the real tests need. Does nothing when all are there.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=common.sh
. "$here/common.sh"

export DEBIAN_FRONTEND=noninteractive
packages=(docker.io iptables debootstrap libnvidia-ml1 libnvidia-ml-dev gcc libc6-dev
  busybox-static python3-pip python3-venv util-linux)

missing() {
  local package
  for package in "${packages[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
  done
}

# True if apt knows a version of every package.
all_known() {
  local package
  for package in "$@"; do
    apt-cache show "$package" >/dev/null 2>&1 || return 1
  done
}

# NVIDIA's library is in "non-free", needs "contrib": the source that "main" comes from, with those components.
add_non_free() {
  local entry file uri
  entry=$(apt_source SOURCESENTRY)
  file=${entry%:*}
  uri=$(apt_source REPO_URI)
  uri=${uri%/}
  [[ -f $file && -n $uri ]] || fail 'apt has no source of Debian packages'
  if [[ $file == *.sources ]]; then
    awk -v uri="$uri" 'BEGIN { RS = ""; ORS = "\n\n" } index($0, uri)' "$file" |
      sed -E '/^#/d; s/^Components:.*/Components: contrib non-free/' >/etc/apt/sources.list.d/mic-non-free.sources
  else
    grep -F "$uri" "$file" |
      sed -nE 's/^(deb +(\[[^]]*\] +)?[^ ]+ +[^ ]+) .*/\1 contrib non-free/p' >/etc/apt/sources.list.d/mic-non-free.list
  fi
}

mapfile -t wanted < <(missing)
if ((${#wanted[@]})); then
  all_known "${wanted[@]}" || {
    [[ -n $(apt_source REPO_URI) ]] || logged apt-get update
    all_known libnvidia-ml1 || add_non_free
    logged apt-get update
  }
  # The lists may be older than the mirror: a failed download is worth one update.
  apt-get install -y --no-install-recommends "${wanted[@]}" >>"$LOG" 2>&1 </dev/null || {
    logged apt-get update
    logged apt-get install -y --no-install-recommends "${wanted[@]}"
  }
fi
