"""A server that holds GPU memory by PyTorch.

GET /health  200 once the memory is taken
GET /state   what this process and PyTorch know of the GPU, as JSON
GET /burn    works on the GPU for some seconds (?seconds=5), and answers at once

With --keeper true it has a child that holds memory as well, and that outlives the server: the child leaves the server's
session, environment and output, and on SIGTERM it loses the process that ties it to the server, which itself stays.
"""

import argparse
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

import torch

MIB = 2**20


def hold(mib):
    return torch.empty(mib * MIB, dtype=torch.uint8, device="cuda")


def keep(mib):
    memory = hold(mib)
    torch.cuda.synchronize()
    print(os.getpid(), flush=True)
    while memory is not None:
        time.sleep(3600)


def spawn(role, mib):
    """Nothing of it says whose it is, but its parent."""
    return subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), "--role", role, "--mib", str(mib)],
        env={name: value for name, value in os.environ.items() if not name.startswith("MIC_")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def tie(mib):
    """Between the server and the keeper: when it ends, the keeper belongs to nobody."""
    keeper = spawn("keeper", mib)
    print(keeper.stdout.readline().decode().strip(), flush=True)
    keeper.wait()


def burn(seconds):
    a = torch.rand(4096, 4096, device="cuda")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        torch.matmul(a, a)
        torch.cuda.synchronize()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    keeper_pid = None

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        if url.path == "/burn":
            seconds = float(urllib.parse.parse_qs(url.query)["seconds"][0])
            threading.Thread(target=burn, args=(seconds,), daemon=True).start()
        body = json.dumps(self.state() if url.path == "/state" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def state(self):
        return {
            "pid": os.getpid(),
            "keeper_pid": self.keeper_pid,
            "torch": torch.__version__,
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "devices": torch.cuda.device_count(),
            # Not in every PyTorch.
            "uuid": str(getattr(torch.cuda.get_device_properties(0), "uuid", "")),
            "reserved_mib": torch.cuda.memory_reserved() / MIB,
            "peak_mib": torch.cuda.max_memory_reserved() / MIB,
        }

    def log_message(self, *_):
        pass


def serve(arguments):
    memory = hold(arguments.mib)
    torch.cuda.synchronize()
    if arguments.keeper == "true":
        middle = spawn("tie", arguments.mib)
        Handler.keeper_pid = int(middle.stdout.readline())

        def on_sigterm(*_):
            middle.kill()
            middle.wait()

        signal.signal(signal.SIGTERM, on_sigterm)
    http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler).serve_forever()
    del memory


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--mib", type=int, required=True)
parser.add_argument("--keeper", default="false")
parser.add_argument("--role", choices=["server", "tie", "keeper"], default="server")
arguments = parser.parse_args()
if arguments.role == "keeper":
    keep(arguments.mib)
elif arguments.role == "tie":
    tie(arguments.mib)
else:
    serve(arguments)
