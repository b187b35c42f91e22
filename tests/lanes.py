#!/usr/bin/env python3
"""Runs every test of the package, in lanes beside each other; names alone run those.

Tests that wait, for processes, for heartbeats, for a minute to pass, leave a processor to those that compute. What is not
named here computes: a new test binary is run without being mentioned. What a lane printed is shown when its binary has ended;
what each took is shown at the end. Fails if any fails.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

# What mostly waits, the longest first: whichever of these lanes is free takes the next.
WAITING = ["replica", "e2e", "run", "broker", "outbox", "worker", "rows", "container", "watch", "seed"]
WAITING_LANES = 2
# Tests at a time in one binary, unless RUST_TEST_THREADS says so.
WAITING_THREADS = "4"
COMPUTING_THREADS = "2"

CARGO = os.environ.get("CARGO", "cargo")
ROOT = Path(__file__).resolve().parent.parent


def build():
    """Builds the test binaries: their paths by name, as cargo tells them."""
    command = [CARGO, "test", "--locked", "--no-run", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(built.returncode)
    binaries = {}
    for line in built.stdout.splitlines():
        artifact = json.loads(line)
        if artifact["reason"] != "compiler-artifact" or not artifact["profile"]["test"]:
            continue
        if artifact["executable"]:
            target = artifact["target"]
            name = target["name"] if target["kind"] == ["test"] else f"{target['kind'][0]}-{target['name']}"
            binaries[name] = [artifact["executable"]]
    return binaries


def check(binaries):
    """Every folder and file of tests is a binary, and what is named here is one."""
    files = {path.stem for path in (ROOT / "tests").glob("*.rs")}
    files |= {path.parent.name for path in (ROOT / "tests").glob("*/main.rs")}
    missing = sorted((files | set(WAITING)) - set(binaries))
    if missing or len(set(WAITING)) != len(WAITING):
        sys.exit(f"tests/lanes.py: no test binary, or named twice: {' '.join(missing or WAITING)}")


class Lanes:
    """What is still to be run, and how it went."""

    def __init__(self, binaries):
        self.binaries = binaries
        self.lock = threading.Lock()
        self.waiting = [name for name in WAITING if name in binaries]
        self.computing = [name for name in binaries if name not in WAITING]
        self.times = []
        self.failed = []

    def follow(self, names, threads):
        """Takes one name after the other until none is left."""
        while True:
            with self.lock:
                if not names:
                    return
                name = names.pop(0)
                print(f"     running {name}", flush=True)
            self.run(name, threads)

    def run(self, name, threads):
        environment = {**os.environ, "CARGO_MANIFEST_DIR": str(ROOT)}
        environment.setdefault("RUST_TEST_THREADS", threads)
        begun = time.monotonic()
        with tempfile.TemporaryFile() as output:
            ended = subprocess.run(
                self.binaries[name], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT,
            )
            took = time.monotonic() - begun
            output.seek(0)
            text = output.read().decode(errors="replace")
        with self.lock:
            self.times.append((took, name))
            how = "ok" if ended.returncode == 0 else f"FAILED ({ended.returncode})"
            print(f"---- {name}: {how} after {took:.0f} s\n{text}", flush=True)
            if ended.returncode != 0:
                self.failed.append(name)


def main():
    binaries = build()
    check(binaries)
    # Beside the binaries; it is built by those who run it, and waits for nobody.
    binaries = {"doc": [CARGO, "test", "--locked", "--doc"], **binaries}
    if len(sys.argv) > 1:
        binaries = {name: binaries[name] for name in sys.argv[1:]}
    lanes = Lanes(binaries)
    begun = time.monotonic()
    lines = [(lanes.computing, COMPUTING_THREADS)] + [(lanes.waiting, WAITING_THREADS)] * WAITING_LANES
    threads = [threading.Thread(target=lanes.follow, args=line) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for took, name in sorted(lanes.times, reverse=True):
        print(f"{took:7.1f} s  {name}")
    print(f"{time.monotonic() - begun:7.1f} s  in all, {len(lanes.times)} of {len(binaries)} binaries were run")
    if lanes.failed or len(lanes.times) != len(binaries):
        sys.exit(f"failed: {' '.join(lanes.failed)}")


if __name__ == "__main__":
    main()
