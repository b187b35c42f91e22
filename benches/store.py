"""What a store costs: recovery from it, what is kept in it, a burst's claims, memory; the Python service beside it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import daemon
from daemon import CRONKEEP, ENVIRONMENT, HALT, SHELL, Cronkeep, Daemon

MS = 1e6
# A page of the history, as `cronkeep history` prints it when nothing is said.
PAGE = 50
# Where benches/store.rs leaves a store with many runs.
LARGE = daemon.TARGET / "tmp" / "bench-store" / "cronkeep.db"
PYTHON = daemon.REPOSITORY / "target" / "tools" / "python" / "bin" / "python"
# The service is described in a document that is not ours to hand on.
SERVICE = Path(os.environ.get("CRONKEEP_SEED", daemon.REPOSITORY.parent / "shared" / "seed"))
# The key under which the service caches its rows.
ROWS = "crond-service-cronjob-cache"
# How long the service may take for anything.
PATIENCE = 600

# The service watches /etc/crontab: it gets an /etc of its own.
ETC = """
set -e
mount --make-rprivate /
mount --bind "$1/etc" /etc
shift
"""


class Redis:
    """A server on a port of its own, empty, which writes nothing to disk."""

    def __init__(self, folder):
        self.folder = Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [*command, "--dir", str(self.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait(lambda: self.ask("PING") == "PONG", "redis-server")

    def ask(self, *words, text=None):
        """The answer of redis-cli; with `text`, that is the last word."""
        command = ["redis-cli", "-p", str(self.port), *(["-x"] if text is not None else []), *words]
        return subprocess.run(command, capture_output=True, text=True, input=text).stdout.strip()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Kept(Cronkeep):
    """With a store outside its folder; without a text it finds no crontab, as in a new container."""

    def __init__(self, folder, text, *options):
        self.options = options
        super().__init__(folder, text, 0.2 if text is not None else 0)

    def prepare(self, text):
        self.crontab = self.folder / "crontab"
        if text is not None:
            self.crontab.write_text(text)


class Service(Daemon):
    """The Python service, which finds an empty /etc/crontab, and what it has cached."""

    name = "Python service"

    def __init__(self, folder, redis):
        self.redis = redis
        super().__init__(folder, "")

    def prepare(self, text):
        etc = self.folder / "etc"
        etc.mkdir()
        for name in ("passwd", "group", "hosts", "nsswitch.conf"):
            shutil.copy(Path("/etc") / name, etc)
        (etc / "crontab").write_text(text)

    def command(self):
        environment = [f"SEED_REDIS_PORT={self.redis.port}", "PYTHONUNBUFFERED=1"]
        program = ["env", *environment, str(PYTHON), str(SERVICE / "run_service.py")]
        return ["unshare", "-m", SHELL, "-c", ETC + HALT, "halt", str(self.folder), *program]

    def read(self):
        for _ in self.process.stderr:
            pass

    def scheduled(self, count):
        """Waits until it has scheduled so many jobs; returns that moment."""
        wait(lambda: self.redis.ask("HLEN", "crond_service_schedule.jobs") == str(count), "the Python service")
        return time.monotonic_ns()


def wait(holds, who):
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"{who} does not get there")
        time.sleep(0.02)


def missing_service(skip):
    """Why the Python service is not measured; none if it can be."""
    if skip:
        return "--skip-python"
    if not PYTHON.exists():
        return f"{PYTHON} is not there: tests/tools.sh bench prepares it"
    if not (SERVICE / "run_service.py").exists():
        return f"{SERVICE} is not there: CRONKEEP_SEED names the folder of the Python service"
    return None


def told_missing(skip):
    reason = missing_service(skip)
    if reason:
        print(f"the Python service is not measured: {reason}", flush=True)
    return reason


def require(phases, skip):
    """Ends the program if one of the phases lacks what it needs: half a measurement is none."""
    reason = missing_service(skip)
    if reason and not skip and {"recovery", "redis_memory"} & set(phases):
        sys.exit(f"the Python service cannot be measured: {reason}; --skip-python measures without it")
    if "history" in phases and not LARGE.exists():
        sys.exit(f"{LARGE} is not there: `cargo bench --bench store` makes it")


def entries(count):
    """Rows of the service's, one a line of a crontab, all different; none is due for months."""
    month = (time.gmtime().tm_mon + 5) % 12 + 1
    return [[str(i % 60), str(i // 60 % 24), "1", str(month), "*", "root", f"/usr/bin/true --id={i:06}"] for i in range(count)]


def text_of(rows):
    return "".join(" ".join(row[:5] + row[6:]) + "\n" for row in rows)


def stores(folder, redis):
    return {
        "Redis": ("--store", redis.url, "--namespace", "bench"),
        "SQLite": ("--store", f"sqlite:{folder / 'kept.db'}"),
    }


def recovery(quick, folder):
    """The exec of a daemon without a crontab, in a new container, to the moment when all jobs of the store are in force."""
    count, rows = (1_000 if quick else 10_000), []
    lines = entries(count)
    for turn in range(1 if quick else 7):
        with Redis(folder / "redis") as redis:
            for name, options in stores(folder, redis).items():
                for file in folder.glob("kept.db*"):
                    file.unlink()
                with Kept(folder / "recovery", text_of(lines), *options) as first:
                    first.loaded()
                    first.settle()
                with Kept(folder / "recovery", None, *options) as second:
                    moment, record = second.loaded()
                    assert record["jobs"] == count, record
                    row = {"program": "cronkeep", "store": name, "jobs": count, "ms": (moment - second.started) / MS}
                    row["cpu_ms"] = second.settle() / MS
                    rows.append(row)
        if turn == 0 and not told_missing(recovery.skip_python):
            with Redis(folder / "redis") as redis:
                redis.ask("SET", ROWS, text=json.dumps(lines))
                with Service(folder / "service", redis) as service:
                    moment = service.scheduled(count)
                    row = {"program": Service.name, "store": "Redis", "jobs": count}
                    rows.append({**row, "ms": (moment - service.started) / MS, "cpu_ms": service.cpu() / MS})
    return rows


recovery.skip_python = False


def history(quick, _folder):
    """`cronkeep history` on the store that benches/store.rs left: a page of the newest, and of those that failed."""
    if quick and not LARGE.exists():
        print(f"the history is not measured: {LARGE} is not there", flush=True)
        return []
    rows = []
    for name, words in (("newest", ()), ("failed", ("--outcome", "failed"))):
        for _ in range(3 if quick else 30):
            command = [CRONKEEP, "history", "--json", "--limit", str(PAGE), "--store", f"sqlite:{LARGE}", *words]
            begin = time.monotonic_ns()
            out = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
            rows.append({"page": name, "ms": (time.monotonic_ns() - begin) / MS})
            assert len(out.splitlines()) == PAGE, out[:200]
    return rows


def claim(_quick, _folder):
    """How long bursts wait for their claims and starts: benches/claim.rs, one line of JSON each."""
    command = ["cargo", "bench", "--quiet", "--locked", "--bench", "claim"]
    out = subprocess.run(command, cwd=daemon.REPOSITORY, capture_output=True, text=True, check=True).stdout
    rows = [json.loads(line) for line in out.splitlines() if line.startswith('{"bench":"claim"')]
    if not rows:
        print(f"claims are not measured: {out.strip()}", flush=True)
    return rows


def redis_memory(quick, folder):
    """PSS once loaded, connected to Redis and idle; that of the Python service without its Redis."""
    rows = []
    for count in (1, 10_000) if quick else (1, 10_000, 100_000):
        for _ in range(1 if quick else 3):
            with Redis(folder / "redis") as redis:
                with Kept(folder / "memory", text_of(entries(count)), *stores(folder, redis)["Redis"]) as running:
                    running.loaded()
                    wait(lambda: redis.ask("EXISTS", "{cronkeep:bench}:snapshot") == "1", "the snapshot")
                    running.settle(1.0)
                    rows.append({"program": "cronkeep", "entries": count, "pss_kib": daemon.pss_kib(running.pid)})
        # More jobs take it longer than anybody waits.
        if count <= (1 if quick else 10_000) and not told_missing(recovery.skip_python):
            with Redis(folder / "redis") as redis:
                redis.ask("SET", ROWS, text=json.dumps(entries(count)))
                with Service(folder / "service", redis) as service:
                    service.scheduled(count)
                    rows.append({"program": Service.name, "entries": count, "pss_kib": daemon.pss_kib(service.pid)})
    return rows


PHASES = {"recovery": recovery, "history": history, "claim": claim, "redis_memory": redis_memory}
