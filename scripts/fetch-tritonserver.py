"""Puts NVIDIA's own tritonserver into a directory, from the wheel that carries it on PyPI.

    python3 fetch-tritonserver.py DIRECTORY [--python 3.11]

DIRECTORY gets the wheel's own layout, in which the libraries find each other: pytriton/tritonserver and
nvidia_pytriton.libs. --python says which Python models run on; that one's libpython must be on the host.
Uses pip of the Python that runs this, with its settings. Nothing but the standard library is needed.
"""

import argparse
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

WHEEL = "nvidia-pytriton==0.7.0"
SERVER = "pytriton/tritonserver/"
LIBRARIES = "nvidia_pytriton.libs/"


def download(directory):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        pip + ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", directory, WHEEL],
        check=True,
    )
    return glob.glob(os.path.join(directory, "nvidia_pytriton-*.whl"))[0]


def unpack(wheel, directory, python):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith((SERVER, LIBRARIES))]
        archive.extractall(directory, names)
    server = os.path.join(directory, SERVER)
    # A zip file keeps no permissions that Python's unpacking would give back.
    os.chmod(os.path.join(server, "bin/tritonserver"), 0o755)
    stub = os.path.join(server, "backends/python/triton_python_backend_stub")
    shutil.move(os.path.join(server, "python_backend_stubs", python, "triton_python_backend_stub"), stub)
    os.chmod(stub, 0o755)
    shutil.rmtree(os.path.join(server, "python_backend_stubs"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--python", default="%d.%d" % sys.version_info[:2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mic-tritonserver-") as downloads:
        try:
            wheel = download(downloads)
        except subprocess.CalledProcessError as error:
            sys.exit("pip could not download %s (exit code %d)" % (WHEEL, error.returncode))
        unpack(wheel, arguments.directory, arguments.python)


main()
