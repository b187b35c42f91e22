#!/usr/bin/env python3
"""Measures cronkeep beside Debian's cron, busybox's crond, the Python service and a program that only starts a command.

    benches/end_to_end.py [--quick] [--only PHASE]... [--starts N] [--micro FILE] [--skip-python] [--no-document]

Needs root (a mount namespace for Debian's cron), Linux, gcc, the packages cron, busybox-static and redis-server, and the
release binary; for the Python service its environment (tests/tools.sh bench) and its folder (CRONKEEP_SEED). Writes docs/performance.json and docs/performance.svg, and the tables of docs/performance.md. FILE is what
`cargo bench` printed. --quick shows that everything works, in two minutes; its figures say nothing.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import daemon
import message
import report
import store
from daemon import ALL, CRONKEEP, PROBE, SHELL, Busybox, Cronkeep, CronkeepSystem, DebianCron, Limit

MS = 1e6
# Debian's cron reads no table of more than this many lines.
DEBIAN_LINES = 10_000
# Starts of a job that is due each minute.
STARTS = 20
# For so long a crontab has been left alone when its crond starts: one that is being written is read twice.
REST = 0.2
# No measurement of a moment begins this close to a full minute, when every crond wakes up.
EDGE = 8


def idle_text(count):
    """Entries at 1 440 different minutes, each with a command line of its own, none due for months.

    The program exists: cronkeep warns of those that do not.
    """
    month = (datetime.now(timezone.utc).month + 5) % 12 + 1
    return "".join(
        f"{i % 60} {i // 60 % 24} 1 {month} * /usr/bin/true --id={i:06}\n" for i in range(count)
    )


def avoid_minute_edge(span=EDGE):
    """Waits, if the next full minute is less than `span` seconds away, until it has passed."""
    left = 60 - time.time() % 60
    if left < span:
        time.sleep(left + 2)


def refuses(program, count):
    return program is DebianCron and count > DEBIAN_LINES


def start_up(quick, folder):
    """Moment of exec to `crontab.loaded`; for all: CPU time until they sleep."""
    rows = []
    for count in (10_000, 100_000):
        text = idle_text(count)
        for program in ALL:
            if refuses(program, count):
                continue
            for _ in range(2 if quick else 7):
                avoid_minute_edge()
                with program(folder / "start", text, REST) as running:
                    row = {"program": program.name, "entries": count}
                    if program is Cronkeep:
                        moment, record = running.loaded()
                        assert record["jobs"] == count, record
                        row["ready_ms"] = (moment - running.started) / MS
                    row["cpu_ms"] = running.settle() / MS
                    rows.append(row)
    return rows


def memory(quick, folder):
    """PSS once loaded and idle."""
    rows = []
    for count in (1, 10_000, 100_000):
        text = idle_text(count)
        for program in ALL:
            if refuses(program, count):
                continue
            for _ in range(1 if quick else 3):
                avoid_minute_edge()
                with program(folder / "memory", text) as running:
                    if program is Cronkeep:
                        running.loaded()
                    running.settle(1.0)
                    rows.append(
                        {"program": program.name, "entries": count, "pss_kib": daemon.pss_kib(running.pid)}
                    )
    return rows


def edit(quick, folder):
    """The rename that replaces the crontab to `crontab.loaded`; one line differs each time."""
    rows = []
    for count in (10, 10_000):
        text = idle_text(count)
        with Cronkeep(folder / "edit", text) as running:
            running.loaded()
            running.settle()
            for turn in range(3 if quick else 30):
                changed = text.replace("--id=000005", f"--id=edit-{turn}")
                moment = running.edit(changed)
                loaded, record = running.loaded()
                assert record["added"] == 1 and record["removed"] == 1, record
                rows.append({"entries": count, "ms": (loaded - moment) / MS})
                running.settle()
    return rows


def stamps(file):
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def late(file, period, offset_ms=0, due=None):
    """How late each stamp is after the instant before it, or after `due`, in milliseconds."""
    if due is not None:
        return [(stamp - due) / MS for stamp in stamps(file)]
    return [(stamp - int(offset_ms * MS)) % (period * 1_000_000_000) / MS for stamp in stamps(file)]


LIMIT_WAYS = (("vfork", False), ("spawn", False), ("vfork", True), ("spawn", True))
# A user switch cannot be had from posix_spawn.
SWITCH = f"vfork:{daemon.OTHER_ID}"
BURST_WAYS = (*LIMIT_WAYS, (SWITCH, False), (SWITCH, True))


def limit_name(way, shell):
    words = way.replace(SWITCH, f"vfork as {daemon.OTHER}")
    return f"limit {words}{' sh' if shell else ''}"


def limit_command(file, shell):
    return [SHELL, "-c", f"{PROBE} {file}"] if shell else [str(PROBE), str(file)]


def lone_minute(quick, folder):
    """One job a minute, one after another: each has seconds of its own, but for the peers, who know whole minutes only."""
    minutes = 2 if quick else lone_minute.starts
    # A redirection needs a shell.
    ours = {"cronkeep": ("10", ""), "cronkeep, needs sh": ("18", " 2>&1")}
    files, offsets, running = {}, {}, []
    for program in (DebianCron, Busybox):
        files[program.name], offsets[program.name] = folder / f"minute-{program.__name__}", 0
        text = f"* * * * * {PROBE} {files[program.name]}\n"
        running.append(program(folder / f"lone-{program.__name__}", text))
    for name, (second, suffix) in ours.items():
        files[name], offsets[name] = folder / f"minute-{second}", int(second) * 1000
        text = f"{second} * * * * * {PROBE} {files[name]}{suffix}\n"
        running.append(Cronkeep(folder / f"lone-{second}", text))
    limits = []
    for turn, (way, shell) in enumerate(LIMIT_WAYS):
        name = limit_name(way, shell)
        files[name], offsets[name] = folder / f"minute-{name.replace(' ', '-')}", 26_000 + 8_000 * turn
        limits.append(Limit(way, 60, offsets[name], minutes, 1, limit_command(files[name], shell)))
    for limit in limits:
        limit.finish()
    for name in files:
        wait_for_stamps(files[name], minutes)
    for one in running:
        one.stop()
    return {name: late(file, 60, offsets[name])[-minutes:] for name, file in files.items()}


lone_minute.starts = STARTS


def wait_for_stamps(file, count):
    while len(stamps(file)) < count:
        time.sleep(0.5)


def lone_second_and_idle(quick, folder):
    """One job a second, ours and the limit; meanwhile the wake-ups of three programs that have nothing to do."""
    seconds, span = (10, 15) if quick else (60, 180)
    idlers = [program(folder / f"idle-{program.__name__}", idle_text(1)) for program in ALL]
    for idler in idlers:
        idler.settle()
    # What follows a start is over: the second slow look, the first full minute for all, and after a minute the store's being told
    # which jobs there are.
    time.sleep(2 if quick else 65)
    files, limits = {"cronkeep": folder / "second-cronkeep"}, []
    before, begin = [daemon.switches(idler.pid) for idler in idlers], time.monotonic()
    cpu_before = [idler.cpu() for idler in idlers]
    with Cronkeep(folder / "second", f"* * * * * * {PROBE} {files['cronkeep']}\n") as running:
        running.loaded()
        for turn, (way, shell) in enumerate(LIMIT_WAYS):
            name = limit_name(way, shell)
            files[name] = folder / f"second-{name.replace(' ', '-')}"
            limits.append(
                Limit(way, 1, 200 * (turn + 1), seconds, 1, limit_command(files[name], shell))
            )
        woke = [limit.finish() for limit in limits]
        time.sleep(0.5)
    time.sleep(max(0.0, span - (time.monotonic() - begin)))
    minutes = (time.monotonic() - begin) / 60
    idle = [
        {
            "program": idler.name,
            "switches_a_minute": (daemon.switches(idler.pid) - count) / minutes,
            "cpu_us_a_minute": (idler.cpu() - cpu) / minutes / 1000,
        }
        for idler, count, cpu in zip(idlers, before, cpu_before)
    ]
    for idler in idlers:
        idler.stop()
    offsets = {limit_name(way, shell): 200 * (turn + 1) for turn, (way, shell) in enumerate(LIMIT_WAYS)}
    second = {name: late(file, 1, offsets.get(name, 0))[:seconds] for name, file in files.items()}
    second["timerfd alone"] = [row[0] / MS for rows in woke for row in rows]
    return {"lone_second": second, "idle": idle}


def burst(quick, folder):
    """Many jobs at one instant: when the last has started, CPU time a job, how many were lost or doubled."""
    rows = []
    for count in (100,) if quick else (100, 1000, 5000):
        rounds = 1 if quick or count > 1000 else 3
        for _ in range(rounds):
            for user in ("root", daemon.OTHER):
                for shell in (False, True):
                    rows.append(our_burst(folder, count, user, shell))
            for way, shell in BURST_WAYS:
                file = fresh(folder / "burst")
                begin = time.time_ns() // 1_000_000_000
                limit = Limit(way, 1, 0, 1, count, limit_command(file, shell))
                ((_, own, children),) = limit.finish()
                due = (begin + 1) * 1_000_000_000
                rows.append(burst_row(file, count, due, limit_name(way, shell), own + children))
        if count == 1000 and not quick:
            rows.extend(peer_burst(program, folder, count) for program in (DebianCron, Busybox))
    return rows


def fresh(file):
    """The file, empty, which every user may write to."""
    file.unlink(missing_ok=True)
    file.touch()
    file.chmod(0o666)
    return file


def burst_row(file, count, due, name, cpu):
    found = late(file, None, due=due)
    return {
        "jobs": count,
        "program": name,
        "last_ms": max(found, default=float("inf")),
        "cpu_ms_a_job": cpu / MS / count,
        "lost": count - len(found),
    }


def soon(seconds=4):
    """An instant a few seconds ahead, and the fields that mean it."""
    at = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    schedule = f"{at.second} {at.minute} {at.hour} {at.day} {at.month} *"
    return int(at.timestamp()) * 1_000_000_000, schedule


def our_name(user, shell):
    return f"cronkeep{f' as {user}' if user != 'root' else ''}{', needs sh' if shell else ''}"


def our_burst(folder, count, user, shell):
    file = fresh(folder / "burst")
    avoid_minute_edge(10)
    due, schedule = soon()
    text = f"{schedule} {user} {PROBE} {file}{' 2>&1' if shell else ''}\n" * count
    with CronkeepSystem(folder / "burst-cronkeep", text) as running:
        running.loaded()
        running.settle()
        before = daemon.pss_kib(running.pid)
        row = finish_burst(running, file, count, due, our_name(user, shell))
        row.update(pss_before_kib=before, pss_after_kib=daemon.pss_kib(running.pid))
        return row


def peer_burst(program, folder, count):
    file = fresh(folder / "burst")
    avoid_minute_edge(10)
    with program(folder / "burst-peer", f"* * * * * {PROBE} {file}\n" * count) as running:
        running.settle()
        due = (time.time_ns() // 60_000_000_000 + 1) * 60_000_000_000
        return finish_burst(running, file, count, due, program.name)


def finish_burst(running, file, count, due, name):
    cpu = daemon.cpu_with_children_ns(running.pid)
    time.sleep(max(0.0, due / 1e9 - time.time()))
    end = time.monotonic() + 25
    while len(stamps(file)) < count and time.monotonic() < end:
        time.sleep(0.1)
    running.settle()
    cpu = daemon.cpu_with_children_ns(running.pid) - cpu
    return burst_row(file, count, due, name, cpu)


def lasting(quick, folder):
    """1 000 jobs that run at the same time: memory while they do, and CPU time of the daemon alone."""
    count, seconds = (50, 4) if quick else (1000, 15)
    rows = []
    for user in ("root", daemon.OTHER):
        file = fresh(folder / "lasting")
        avoid_minute_edge(10)
        due, schedule = soon()
        text = f"{schedule} {user} {PROBE} {file} {seconds}\n" * count
        with CronkeepSystem(folder / "lasting-cronkeep", text) as running:
            running.loaded()
            running.settle()
            before, cpu = daemon.pss_kib(running.pid), running.cpu()
            time.sleep(max(0.0, due / 1e9 - time.time()))
            end = time.monotonic() + seconds
            while len(stamps(file)) < count and time.monotonic() < end:
                time.sleep(0.05)
            during = daemon.pss_kib(running.pid)
            row = burst_row(file, count, due, our_name(user, False), running.cpu() - cpu)
            time.sleep(max(0.0, due / 1e9 + seconds + 1 - time.time()))
            running.settle()
            row.update(pss_before_kib=before, pss_during_kib=during, pss_after_kib=daemon.pss_kib(running.pid))
            rows.append(row)
    return rows


def preview(quick, _folder):
    """A year of 10 000 once-a-day entries through the program, its 3.65 million lines of answer included."""
    entries = [f"{i % 60} {i // 60 % 24} * * *" for i in range(10_000)]
    question = {"entries": entries, "tz": "Europe/Berlin", "from": "2026-01-01T00:00:00Z"}
    question["until"] = "2026-01-02T00:00:00Z" if quick else "2027-01-01T00:00:00Z"
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(question) + "\n")
        file.flush()
        seconds = []
        for _ in range(1 if quick else 3):
            begin = time.monotonic()
            command = [CRONKEEP, "next", "--batch", file.name]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            seconds.append(time.monotonic() - begin)
    return {"seconds": seconds}


def size(_quick, _folder):
    """The binaries as they are shipped."""
    files = {"cronkeep": CRONKEEP, "Debian cron": "/usr/sbin/cron", "busybox": "/bin/busybox"}
    return {name: os.path.getsize(file) for name, file in files.items()}


PHASES = {
    "size": size,
    "start_up": start_up,
    "memory": memory,
    "edit": edit,
    "preview": preview,
    "lone_minute": lone_minute,
    "seconds": lone_second_and_idle,
    "burst": burst,
    "lasting": lasting,
    **store.PHASES,
    **message.PHASES,
}


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def machine():
    """What the figures depend on."""
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    memory = int(Path("/proc/meminfo").read_text().split()[1])
    package = ("dpkg-query", "-W", "-f", "${Version}\n")
    return {
        "cores": os.cpu_count(),
        "cpu": cpu[0].partition(":")[2].strip() if cpu else "unknown",
        "memory_mib": memory // 1024,
        "kernel": os.uname().release,
        "system": first_line("sh", "-c", ". /etc/os-release; echo $PRETTY_NAME"),
        "cronkeep": first_line(str(CRONKEEP), "--version"),
        "commit": first_line("git", "-C", str(daemon.REPOSITORY), "rev-parse", "--short", "HEAD"),
        "rustc": first_line("rustc", "--version"),
        "cron": first_line(*package, "cron"),
        "busybox": first_line(*package, "busybox-static"),
        "redis": first_line(*package, "redis-server"),
    }


def busy_share(before, after, seconds):
    """The share of time in which some process waited for a core; 0 on a quiet machine."""
    return (after - before) / 1e6 / seconds if before is not None else None


def waited_us():
    try:
        return int(Path("/proc/pressure/cpu").read_text().split("total=")[1].split()[0])
    except OSError:
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short runs: shows that everything works")
    parser.add_argument("--only", action="append", choices=PHASES, help="this phase only; the rest stays as it was")
    parser.add_argument("--starts", type=int, default=STARTS, help="minutes for the job that is due each minute")
    parser.add_argument("--micro", type=Path, help="what cargo bench printed")
    parser.add_argument("--skip-python", action="store_true", help="without the Python service")
    parser.add_argument("--no-document", action="store_true", help="print the tables and write nothing")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the documents anew")
    args = parser.parse_args()
    if args.render:
        results = json.loads(report.JSON.read_text())
        report.write(results)
        return
    lone_minute.starts = args.starts
    store.recovery.skip_python = args.skip_python
    if not args.quick:
        store.require(args.only or PHASES, args.skip_python)
    results = {}
    if args.only and report.JSON.exists():
        results = json.loads(report.JSON.read_text())
    daemon.build()
    results["machine"] = machine()
    results["date"] = datetime.now(timezone.utc).date().isoformat()
    results["quick"] = args.quick
    waited, commits = results.setdefault("waited_for_cpu", {}), results.setdefault("commits", {})
    with tempfile.TemporaryDirectory(prefix="cronkeep-bench-") as folder:
        # The daemons of other users must be able to write their stamps.
        os.chmod(folder, 0o755)
        for name, phase in PHASES.items():
            if args.only and name not in args.only:
                continue
            before, begin = waited_us(), time.monotonic()
            found = phase(args.quick, Path(folder))
            seconds = time.monotonic() - begin
            waited[name] = busy_share(before, waited_us(), seconds)
            commits[name] = results["machine"]["commit"]
            print(f"{name}: {seconds:.0f} s", flush=True)
            results.update(found if name == "seconds" else {name: found})
    if args.micro:
        results["micro"] = report.read_divan(args.micro.read_text())
    if args.no_document:
        print(report.tables(results))
    else:
        report.write(results)


if __name__ == "__main__":
    main()
