"""The programs that are measured: how each is started, and what the kernel says of it."""

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
TOOLS = TARGET / "bench"
CRONKEEP = TARGET / "release" / "cronkeep"
PROBE = TOOLS / "probe"
LIMIT = TOOLS / "limit"
SHELL = "/bin/sh"
ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "TZ": "UTC"}

# Every program stops itself before its exec, so that all are timed from the same point by the same means.
HALT = 'kill -STOP $$; exec "$@"'

# Debian's cron reads fixed places: in a mount namespace of its own these are ours, and the host's stay untouched.
PLACES = """
set -e
mount --make-rprivate /
mount --bind "$1/spool" /var/spool/cron/crontabs
mount --bind "$1/empty" /etc/cron.d
mount --bind "$1/crontab" /etc/crontab
mount --bind "$1/run" /run
shift
"""


class Daemon:
    """A program that runs, in a folder of its own."""

    name = ""

    def __init__(self, folder, text, rest=0.0):
        self.folder = Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.prepare(text)
        time.sleep(rest)
        self.process = subprocess.Popen(
            self.command(),
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        while state_of(self.pid) != "T":
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} did not come to its start; is it installed?")
            time.sleep(0.001)
        self.cpu_before = cpu_ns(self.pid)
        self.started = time.monotonic_ns()
        os.kill(self.pid, signal.SIGCONT)

    def read(self):
        for line in self.process.stderr:
            self.lines.put((time.monotonic_ns(), line))

    def prepare(self, text):
        """Puts the crontab where the program looks for it."""
        raise NotImplementedError

    def command(self):
        """What to execute."""
        raise NotImplementedError

    def cpu(self):
        """CPU time since the start, of all threads, in nanoseconds."""
        return cpu_ns(self.pid) - self.cpu_before

    def settle(self, quiet=0.3):
        """Waits until no CPU time has been used for `quiet` seconds; returns the CPU time since the start."""
        used, since = self.cpu(), time.monotonic()
        while time.monotonic() - since < quiet:
            time.sleep(0.002)
            now = self.cpu()
            if now != used:
                used, since = now, time.monotonic()
        return used

    def stop(self):
        """Ends the program and everything it started."""
        os.kill(self.pid, signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Cronkeep(Daemon):
    name = "cronkeep"
    options = ()

    def prepare(self, text):
        self.crontab = self.folder / "crontab"
        self.crontab.write_text(text)

    def command(self):
        state = ["--state-dir", str(self.folder / "state"), "--control", str(self.folder / "control.sock")]
        program = [str(CRONKEEP), "--log-format", "json", "--tz", "UTC", *state, *self.options, str(self.crontab)]
        return [SHELL, "-c", HALT, "halt", *program]

    def edit(self, text):
        """Replaces the crontab as editors do; returns the moment of the rename."""
        fresh = self.folder / "crontab.new"
        fresh.write_text(text)
        moment = time.monotonic_ns()
        fresh.rename(self.crontab)
        return moment

    def loaded(self, timeout=60):
        """Waits for the next `crontab.loaded`; returns its moment and its record."""
        end = time.monotonic() + timeout
        while True:
            moment, line = self.lines.get(timeout=max(0.001, end - time.monotonic()))
            record = json.loads(line)
            if record["event"] == "crontab.loaded":
                return moment, record


class CronkeepSystem(Cronkeep):
    """With a user column in its crontab."""

    options = ("--format", "system")


class DebianCron(Daemon):
    name = "Debian cron"

    def prepare(self, text):
        for place in ("spool", "empty", "run"):
            (self.folder / place).mkdir()
        (self.folder / "crontab").write_text("")
        table = self.folder / "spool" / "root"
        table.write_text(text)
        table.chmod(0o600)

    def command(self):
        script = PLACES + HALT
        return ["unshare", "-m", SHELL, "-c", script, "halt", str(self.folder), "/usr/sbin/cron", "-f"]


class Busybox(Daemon):
    name = "busybox"

    def prepare(self, text):
        (self.folder / "root").write_text(text)

    def command(self):
        program = ["busybox", "crond", "-f", "-L", "/dev/null", "-c", str(self.folder)]
        return [SHELL, "-c", HALT, "halt", *program]


ALL = (Cronkeep, DebianCron, Busybox)

# Whom jobs run as where the user is switched: in every Debian system, with nothing of its own.
OTHER = "nobody"
OTHER_ID = 65534


class Limit:
    """The program that only starts a command when its instant has come."""

    def __init__(self, way, period, offset_ms, count, burst, command):
        numbers = [str(number) for number in (period, offset_ms, count, burst)]
        self.process = subprocess.Popen(
            [str(LIMIT), way, *numbers, *command], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
        )

    def finish(self):
        """Waits for its end; returns a row for each instant: lateness, own CPU, children's CPU in nanoseconds."""
        out, _ = self.process.communicate()
        if self.process.returncode != 0:
            raise RuntimeError("the limit program failed")
        return [[int(number) for number in line.split()] for line in out.splitlines()]


def build():
    """Builds the two C programs."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    for program in (PROBE, LIMIT):
        source = REPOSITORY / "benches" / f"{program.name}.c"
        subprocess.run(["gcc", "-O2", "-static", "-Wall", "-o", program, source], check=True)


def state_of(pid):
    """The state letter of a process."""
    return stat_of(pid)[0]


def stat_of(pid):
    """The fields of /proc/PID/stat from the third on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_ns(pid):
    """CPU time of all threads, those that have ended included; nanoseconds, unlike the ticks of /proc/PID/stat."""
    # The clock that clock_getcpuclockid(3) names: that of the whole process, in scheduler time.
    return time.clock_gettime_ns((~pid << 3) | 2)


def cpu_with_children_ns(pid):
    """CPU time of a process and of its children that were waited for, to a tick of 10 ms."""
    ticks = sum(int(field) for field in stat_of(pid)[11:15])
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def pss_kib(pid):
    """The memory of a process, pages shared with others counted in part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError("the kernel reports no PSS")


def switches(pid):
    """How often the threads of a process were switched to: its wake-ups, and being interrupted."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            status = (task / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            # A thread that ends is not one that is idle: it was counted while it lived.
            continue
        for line in status.splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total
