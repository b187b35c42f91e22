"""What publishing costs: messages a second, one message after its instant, memory with a connection, a worker's commands."""

import json
import os
import queue
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import daemon
from daemon import CRONKEEP, ENVIRONMENT, Cronkeep

MS = 1e6
# Messages on their way at a time, of the client library alone: as many as the outbox has.
WINDOW = 1_024
# How long a broker may take to start, and what is sent to arrive.
PATIENCE = 120
# Debian's wrapper would change the user; the program itself runs as whoever starts it.
SERVERS = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
QUEUE = "bench"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Rabbit:
    """A broker of its own, in a folder of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        (self.folder / "plugins").write_text("[].\n")
        self.environment = {
            **ENVIRONMENT,
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(free_port()),
            "RABBITMQ_NODENAME": f"bench-{os.getpid()}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
        }
        self.process = subprocess.Popen(
            [SERVERS[-1]], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        end = time.monotonic() + PATIENCE
        while not self.answers():
            if time.monotonic() > end:
                raise RuntimeError("rabbitmq-server does not start")
            time.sleep(0.1)

    def answers(self):
        """Whether it speaks AMQP: to what is none it says which version it has, and hangs up."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"AMQP\x00\x00\x00\x00")
                return connection.recv(4) == b"AMQP"
        except OSError:
            return False

    def is_used(self):
        """Whether anybody is connected to it."""
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return any(row[2].endswith(f":{self.port:04X}") and row[3] == "01" for row in rows)

    @property
    def url(self):
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2f"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, 9)
        self.process.wait()
        # It refuses as long as it has not noticed that the node is gone.
        end = time.monotonic() + 10
        epmd = lambda ask: subprocess.run(["epmd", ask], env=self.environment, capture_output=True).returncode
        while epmd("-names") == 0 and time.monotonic() < end:
            epmd("-kill")
            time.sleep(0.1)


def tool():
    """The program of benches/message.rs."""
    command = ["cargo", "bench", "--locked", "--bench", "message", "--no-run", "--message-format", "json"]
    out = subprocess.run(command, cwd=daemon.REPOSITORY, capture_output=True, text=True, check=True).stdout
    built = [json.loads(line) for line in out.splitlines()]
    return next(row["executable"] for row in built if row.get("target", {}).get("name") == "message" and row.get("executable"))


class Listener:
    """Takes what arrives."""

    def __init__(self, program, rabbit, count):
        self.process = subprocess.Popen([program, "listen", rabbit.url, str(count)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def take(self, count, since):
        """How long after its instant, in nanoseconds, each of so many messages arrived that were due after `since`, in seconds."""
        delays = []
        while len(delays) < count:
            moment, name = self.lines.get(timeout=PATIENCE).split()
            due = name.rpartition(":")[2]
            # What was sent for other measurements may still be there.
            if due.isdigit() and int(due) > since:
                delays.append(int(moment) - int(due) * 10**9)
        return delays

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Publisher(Cronkeep):
    # In a burst lines are taken as they come, many at a time: to take them apart costs the cores that are measured.
    is_burst = False

    def __init__(self, folder, text, rabbit, *options):
        self.options = ("--amqp", rabbit.url, *options)
        super().__init__(folder, text, 0.2)

    def read(self):
        rest = b""
        while block := os.read(self.process.stderr.fileno(), 1 << 16):
            moment = time.monotonic_ns()
            lines, end, rest = (rest + block).rpartition(b"\n")
            if not end:
                continue
            for line in [lines] if self.is_burst else lines.split(b"\n"):
                self.lines.put((moment, line + end))

    def event(self, name):
        """The next record with this event, and its moment."""
        end = time.monotonic() + PATIENCE
        while True:
            moment, line = self.lines.get(timeout=max(0.001, end - time.monotonic()))
            record = json.loads(line)
            if record.get("event") == name:
                return moment, record


def burst(count, command, settings=""):
    """A crontab of so many commands that are due at one instant in a few seconds, and that instant."""
    due = time.time_ns() // 10**9 + 6
    moment = time.gmtime(due)
    when = f"{moment.tm_sec} {moment.tm_min} {moment.tm_hour} {moment.tm_mday} {moment.tm_mon} *"
    lines = (f"{when} {command(i)}\n" for i in range(count))
    return "CRONKEEP_FIELDS=6\n" + settings + "".join(lines), due


def until(running, event, count, due):
    """How many seconds after the instant an event had happened so many times; the crontab is loaded."""
    offset = time.monotonic_ns() - time.time_ns()
    running.is_burst = True
    needle = f'"event":"{event}"'.encode()
    last = 0
    while count > 0:
        moment, lines = running.lines.get(timeout=PATIENCE)
        if found := lines.count(needle):
            last, count = max(last, moment), count - found
    return (last - offset - due * 10**9) / 1e9


def bare(program, rabbit, count, window):
    """Messages a second, and CPU of the client in microseconds for each, of the client library alone."""
    before = os.times()
    words = [program, "bare", rabbit.url, str(count), str(window)]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"what": "lapin alone", "window": window, "messages": count, "a_second": count / (int(out) / 1e9), "cpu_us": cpu * 1e6 / count}


def drain(program, rabbit, count):
    """Takes what was published: nobody does while it is measured, the broker has enough to do."""
    subprocess.run([program, "listen", rabbit.url, str(count)], check=True, stdout=subprocess.DEVNULL)


def throughput(quick, folder, program, rabbit):
    """Messages a second: of the client library alone, one by one and many at a time; of a burst through the daemon. In turns."""
    rounds, count = (1, 1_000) if quick else (5, 10_000)
    rows = [bare(program, rabbit, min(count, 2_000), 1)]
    drain(program, rabbit, rows[0]["messages"])
    for _ in range(rounds):
        rows.append(bare(program, rabbit, count, WINDOW))
        drain(program, rabbit, count)
        text, due = burst(count, lambda i: f"cronkeep publish '' {QUEUE} 'a body of a message {i}'")
        with Publisher(folder / "throughput", text, rabbit) as running:
            running.loaded()
            loaded = running.settle(0.5)
            seconds = until(running, "message.confirmed", count, due)
            cpu = running.settle(0.5) - loaded
            rows.append({"what": "cronkeep", "window": WINDOW, "messages": count, "a_second": count / seconds, "cpu_us": cpu / 1000 / count})
        drain(program, rabbit, count)
    return rows


def latency(quick, folder, program, rabbit):
    """One message each second: when it arrives after its instant; beside it the library alone, whose confirm is timed."""
    count = 5 if quick else 60
    out = subprocess.run([program, "each", rabbit.url, str(count)], capture_output=True, text=True, check=True).stdout
    rows = [{"what": "lapin alone, to its confirm", "ms": int(line) / MS} for line in out.split()]
    with Listener(program, rabbit, 10**9) as listener:
        text = f"CRONKEEP_FIELDS=6\n* * * * * * cronkeep publish '' {QUEUE} body\n"
        with Publisher(folder / "latency", text, rabbit) as running:
            running.loaded()
            # The first ones may have waited for the connection.
            for delay in listener.take(count + 3, time.time())[3:]:
                rows.append({"what": "cronkeep, to its arrival", "ms": delay / MS})
    return rows


def settled_pss(running):
    """PSS once what the start, or work, took is given back: that happens a second after it, and is waited for."""
    running.settle(1.0)
    least = daemon.pss_kib(running.pid)
    while True:
        running.settle(1.0)
        time.sleep(1.0)
        now = daemon.pss_kib(running.pid)
        if now >= least:
            return now
        least = now


def memory(quick, folder, rabbit):
    """PSS when idle: without a broker, connected to one, and after a thousand messages. In turns."""
    rows = []
    for _ in range(1 if quick else 3):
        with Cronkeep(folder / "memory", "0 0 1 1 * true\n", 0.2) as running:
            running.loaded()
            rows.append({"what": "without a broker", "entries": 1, "pss_kib": settled_pss(running)})
        with Publisher(folder / "memory", "0 0 1 1 * true\n", rabbit) as running:
            running.loaded()
            while not rabbit.is_used():
                time.sleep(0.01)
            rows.append({"what": "connected", "entries": 1, "pss_kib": settled_pss(running)})
        text, due = burst(1_000, lambda i: f"cronkeep publish '' {QUEUE} 'a body of a message {i}'")
        with Publisher(folder / "memory", text, rabbit) as running:
            running.loaded()
            until(running, "message.confirmed", 1_000, due)
            rows.append({"what": "after 1000 messages", "entries": 1_000, "pss_kib": settled_pss(running)})
    return rows


def worker(quick, folder, program, rabbit):
    """Commands a second that one worker carries out, and that the daemon starts by itself."""
    count = 20 if quick else 500
    key = folder / "key"
    key.write_text("0123456789abcdef0123456789abcdef\n")
    key.chmod(0o600)
    subprocess.run([program, "bare", rabbit.url, "0", "1"], check=True, capture_output=True)
    state = folder / "worker"
    command = [CRONKEEP, "worker", "--queue", QUEUE, "--amqp", rabbit.url, "--key", key, "--state-dir", state, "--users", "root", "--prefetch", "8"]
    rows = []
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for what, directive in (("by a worker", f"CRONKEEP_EXECUTOR=worker:{QUEUE}\n"), ("here", "")):
            text, due = burst(count, lambda i: f"/usr/bin/true {i}", directive)
            with Publisher(folder / "sender", text, rabbit, "--worker-key", str(key)) as running:
                running.loaded()
                seconds = until(running, "run.ended", count, due)
                rows.append({"what": what, "commands": count, "a_second": count / seconds})
        process.terminate()
    return rows


def messages(quick, folder):
    """All of it, on one broker."""
    if not SERVERS:
        print("messages are not measured: rabbitmq-server is not there, tests/tools.sh bench installs it", flush=True)
        return {}
    program = tool()
    with Rabbit(folder / "rabbit") as rabbit:
        return {
            "throughput": throughput(quick, folder, program, rabbit),
            "latency": latency(quick, folder, program, rabbit),
            "memory": memory(quick, folder, rabbit),
            "worker": worker(quick, folder, program, rabbit),
        }


PHASES = {"messages": messages}
