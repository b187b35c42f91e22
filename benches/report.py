"""From what was measured to docs/performance.json, docs/performance.svg and the tables of docs/performance.md."""

import json
import math
import re
import statistics
from pathlib import Path

from plot import draw

DOCS = Path(__file__).resolve().parent.parent / "docs"
JSON = DOCS / "performance.json"
PLOT = DOCS / "performance.svg"
PAGE = DOCS / "performance.md"

# Jobs, what of them, in words, and for plain commands and those that need a shell: milliseconds, and times the limit.
BURSTS = (
    (1000, "last_ms", "last start", (120, 2.3), (450, 1.15)),
    (1000, "cpu_ms_a_job", "CPU for each", (0.25, 2.8), (0.9, 1.23)),
    (5000, "last_ms", "last start", (600, 2.7), (2600, 1.24)),
)

UNITS = {"ps": 1e-3, "ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}
# How much of the time somebody waited for a core before a run is called disturbed.
BUSY = 0.2


def median(values):
    return statistics.median(values) if values else None


def percentile(values, share):
    """The smallest value that at least `share` of the values do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else None


def read_divan(text):
    """The medians of `cargo bench`, in nanoseconds, by program and path of names."""
    found, program, path = {}, "", []
    for line in text.splitlines():
        if header := re.match(r"(\w+) +fastest", line):
            program, path = header[1], []
        if not (row := re.match(r"((?:│  |   )*)(?:├─|╰─) (.*)", line)):
            continue
        depth, cells = len(row[1]) // 3, row[2].split("│")
        name, *fastest = re.split(r"\s{2,}", cells[0].strip())
        path[depth:] = [name.strip('"')]
        if fastest and len(cells) > 2:
            number, unit = cells[2].split()
            found[" / ".join([program, *path])] = float(number) * UNITS[unit]
    return found


def pick(rows, value, **wanted):
    """The median of `value` over the rows that have what is wanted; none if there is no such row."""
    return median([row[value] for row in rows if all(row[key] == want for key, want in wanted.items())])


def limits(samples, shell, share=None):
    """The better of the two ways of starting, by the median or a percentile."""
    names = [f"limit {way}{' sh' if shell else ''}" for way in ("vfork", "spawn")]
    return min(median(samples[name]) if share is None else percentile(samples[name], share) for name in names)


def number(value, unit=""):
    if value is None:
        return "–"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    text = f"{value:.{digits}f}"
    return f"{text} {unit}".strip()


def ratio_words(ratio):
    return f"{ratio:.2g}" if ratio < 100 else f"{ratio:.0f}"


class Verdicts:
    """The table of what was promised and what is."""

    def __init__(self, disturbed):
        self.rows = []
        self.disturbed = disturbed

    def add(self, what, target, target_text, measured, unit, beside, by_ratio=0, phase=None):
        """One row; `beside` names and gives what it is compared with, `by_ratio` is a target relative to the limit."""
        ratio = ", ".join(f"{ratio_words(measured / value)}× {name}" for name, value in beside if value)
        met = "yes" if measured <= target else "by ratio only" if measured <= by_ratio else "**no**"
        if phase in self.disturbed:
            met = "undecided: disturbed"
        self.rows.append((what, target_text, number(measured, unit), ratio or "–", met))

    def table(self):
        return table(("what", "must be", "is", "beside", "met"), self.rows)


def table(head, rows):
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines)


def verdicts(results):
    """Every figure that this version has, against what it must be."""
    out = Verdicts(disturbed_phases(results))
    if minute := results.get("lone_minute"):
        plain, quiet = median(minute["cronkeep"]), median(minute["cronkeep, needs sh"])
        direct, shell = limits(minute, False), limits(minute, True)
        peers = [(name, median(minute[name])) for name in ("Debian cron", "busybox")]
        out.add("lone job each minute, plain command, median", 1.5 * direct, "1.5× limit", plain, "ms",
                [("limit", direct), ("limit through sh", shell), *peers], phase="lone_minute")
        out.add("lone job each minute, needs a shell, median", 1.5 * shell, "1.5× limit through sh", quiet, "ms",
                [("limit through sh", shell)], phase="lone_minute")
        for name, words, sh in (("cronkeep", "plain command", False), ("cronkeep, needs sh", "needs a shell", True)):
            worst = limits(minute, sh, 1)
            out.add(f"lone job each minute, {words}, latest of {len(minute[name])}", 3 * worst, "3× limit's latest",
                    max(minute[name]), "ms", [("limit", worst)], phase="lone_minute")
    if second := results.get("lone_second"):
        ours, direct, shell = second["cronkeep"], limits(second, False), limits(second, True)
        out.add("lone job each second, median", 1.5 * direct, "1.5× limit", median(ours), "ms",
                [("limit", direct), ("limit through sh", shell)], phase="seconds")
        far = percentile(ours, 0.99)
        far_direct, far_shell = limits(second, False, 0.99), limits(second, True, 0.99)
        out.add("lone job each second, p99", 3 * far_direct, "3× limit's p99", far, "ms",
                [("limit", far_direct), ("limit through sh", far_shell)], phase="seconds")
    for count, value, what, *targets in BURSTS:
        rows = [row for row in results.get("burst", []) if row["jobs"] == count]
        ways = (
            ("cronkeep", "plain commands", ("vfork", "spawn"), targets[0]),
            ("cronkeep, needs sh", "need a shell", ("vfork sh", "spawn sh"), targets[1]),
            ("cronkeep as nobody", "plain commands, another user", ("vfork as nobody",), targets[0]),
            ("cronkeep as nobody, needs sh", "need a shell, another user", ("vfork as nobody sh",), targets[1]),
        )
        for name, words, ways_of_limit, (target, times) in ways:
            sh = words.startswith("need")
            measured = pick(rows, value, program=name)
            if measured is None:
                continue
            limit = min(pick(rows, value, program=f"limit {way}") for way in ways_of_limit)
            beside = [("limit through sh" if sh else "limit", limit)]
            beside += [(peer, pick(rows, value, program=peer)) for peer in ("Debian cron", "busybox")]
            out.add(f"{count} jobs at one instant, {words}, {what}", target,
                    f"{target} ms, or {times}× limit", measured, "ms", beside, times * limit)
    for count in (100, 1000, 5000):
        rows = [row for row in results.get("burst", []) if row["jobs"] == count]
        for row in rows:
            if row["lost"] != 0 and row["program"].startswith("cronkeep"):
                out.add(f"{count} jobs at one instant, lost", 0, "none", row["lost"], "", [])
    for count, room in ((10, 5), (10_000, 50)):
        value = pick(results.get("edit", []), "ms", entries=count)
        if value is not None:
            out.add(f"edit to in force, {count} entries", 100 + room, f"100 ms debounce + {room} ms", value, "ms", [])
    for count, target in ((10_000, 20), (100_000, 150)):
        rows = results.get("start_up", [])
        ready = pick(rows, "ready_ms", program="cronkeep", entries=count)
        if ready is not None:
            beside = [(name + " (CPU)", pick(rows, "cpu_ms", program=name, entries=count))
                      for name in ("Debian cron", "busybox")]
            out.add(f"start-up to ready, {count} entries", target, f"{target} ms", ready, "ms", beside)
    for count, target in ((1, 4), (10_000, 6), (100_000, 24)):
        rows = results.get("memory", [])
        ours = pick(rows, "pss_kib", program="cronkeep", entries=count)
        if ours is not None:
            beside = [(name, pick(rows, "pss_kib", program=name, entries=count) or 0)
                      for name in ("Debian cron", "busybox")]
            out.add(f"memory (PSS), {count} entries", target, f"{target} MiB", ours / 1024, "MiB",
                    [(name, value / 1024) for name, value in beside])
    for row in results.get("idle", []):
        if row["program"] == "cronkeep":
            out.add("wake-ups a minute, idle", 4, "4", row["switches_a_minute"], "", [])
    store_verdicts(results, out)
    message_verdicts(results, out)
    micro = results.get("micro", {})
    for zone in ("UTC", "Europe/Berlin"):
        year = micro.get(f"calendar / preview_a_year / {zone}")
        if year:
            out.add(f"a year of 10 000 daily entries, {zone}", 1, "1 s", year / 1e9, "s", [])
    if size := results.get("size"):
        out.add("binary, stripped", 12, "12 MiB", size["cronkeep"] / 2**20, "MiB",
                [(name, value / 2**20) for name, value in size.items() if name != "cronkeep"])
    return out


def store_verdicts(results, out):
    """What was promised of recovery, history and memory with a store."""
    for store, target, words in (("Redis", 60, "60 ms"), ("SQLite", math.inf, "–")):
        rows = [row for row in results.get("recovery", []) if row["store"] == store]
        for jobs in dict.fromkeys(row["jobs"] for row in rows):
            ours = pick(rows, "ms", program="cronkeep", jobs=jobs)
            service = pick(rows, "ms", program="Python service", jobs=jobs)
            out.add(f"recovery of {jobs} jobs from {store}, to in force", target, words, ours, "ms",
                    [("Python service", service)], phase="recovery")
    micro = results.get("micro", {})
    # The whole life of a run is measured since later.
    for name, words in (("live_1000", "runs recorded: start, process, end, output"), ("record_1000", "ended runs recorded")):
        if recorded := micro.get(f"store / {name}"):
            out.add(f"1 000 {words}", 1, "1 s", recorded / 1e9, "s", [])
            break
    for row in results.get("claim", []):
        if row["burst"] == 1000 and "end_us" in row:
            spent = sum(row[what]["median"] for what in ("claim_us", "start_us", "end_us")) / 1e6
            out.add(f"1 000 runs recorded in Redis ({row['link']}): claim, start, end", 1, "1 s", spent, "s", [], phase="claim")
    if page := micro.get("store / page_of_50"):
        out.add("a page of 50 of 1 000 000 runs", 20, "20 ms", page / 1e6, "ms", [])
    for count, target in ((1, 7), (10_000, 9), (100_000, 30)):
        rows = results.get("redis_memory", [])
        ours = pick(rows, "pss_kib", program="cronkeep", entries=count)
        service = pick(rows, "pss_kib", program="Python service", entries=count)
        if ours is not None:
            out.add(f"memory (PSS) with Redis connected, {count} entries", target, f"{target} MiB", ours / 1024, "MiB",
                    [("Python service", service and service / 1024)])


def message_verdicts(results, out):
    """What was promised of messages."""
    found = results.get("messages") or {}
    rates = throughputs(found)
    bare = [row for row in rates if row["what"] == "lapin alone"]
    for row in rates:
        if row["what"] == "cronkeep":
            for other in bare:
                # A rate: what is more is better.
                met = "yes" if row["a_second"] >= 0.8 * other["a_second"] else "**no**"
                words = f"{ratio_words(row['a_second'] / other['a_second'])}× lapin alone"
                # The loop that the library's own examples have waits for each confirm before it goes on.
                loop = "that awaits each confirm" if other["window"] == 1 else f"with {other['window']} under way"
                what = f"confirmed messages a second, a burst, beside a lapin loop {loop}"
                out.rows.append((what, "0.8× lapin alone", number(row["a_second"]), words, met))
    kib = {what: median([row["pss_kib"] for row in found.get("memory", []) if row.get("what") == what]) for what in ("without a broker", "connected")}
    if kib["connected"] is not None:
        beside = [("without a broker", kib["without a broker"] / 1024)]
        out.add("memory (PSS) with a broker connected, 1 entry", 7, "7 MiB", kib["connected"] / 1024, "MiB", beside)


def disturbed_phases(results):
    """The phases in which other work was in the way; a burst makes its own waiting, so it cannot be told of one."""
    waited = results["waited_for_cpu"]
    return [name for name, share in waited.items() if share is not None and share > BUSY and name != "burst"]


def machine_words(results):
    machine = results["machine"]
    words = (
        f"Measured {results['date']} with {machine['cronkeep']} ({machine['commit']}, {machine['rustc']}) on {machine['cores']} "
        f"cores ({machine['cpu']}), {machine['memory_mib']} MiB, Linux {machine['kernel']}, {machine['system']}; "
        f"cron {machine['cron']}, busybox {machine['busybox']}" + (f", redis {machine['redis']}." if "redis" in machine else ".")
    )
    older = [name for name, commit in results["commits"].items() if commit != machine["commit"]]
    if older:
        words += f" Not repeated since an earlier commit: {', '.join(older)}."
    if disturbed := disturbed_phases(results):
        words += (
            "\n\n**The machine was busy with other work** (in these phases somebody waited for a core for more than "
            f"{BUSY:.0%} of the time: {', '.join(disturbed)}). Neither their times nor their ratios decide anything."
        )
    if results.get("quick"):
        words += "\n\n**A quick run**: it shows that the measuring works; its figures say nothing."
    return words


def starts(results):
    rows = []
    for key, when in (("lone_minute", "a minute"), ("lone_second", "a second")):
        for name, found in results.get(key, {}).items():
            numbers = (median(found), percentile(found, 0.99), max(found, default=None))
            rows.append((name, when, len(found), *map(number, numbers)))
    return table(("program", "one job", "starts", "median ms", "p99 ms", "max ms"), rows)


def loads(results):
    rows = []
    for count in (1, 10_000, 100_000):
        for name in ("cronkeep", "Debian cron", "busybox"):
            wanted = {"program": name, "entries": count}
            kib = pick(results.get("memory", []), "pss_kib", **wanted)
            ready = None
            if name == "cronkeep" and count > 1:
                ready = pick(results.get("start_up", []), "ready_ms", **wanted)
            cpu = pick(results.get("start_up", []), "cpu_ms", **wanted)
            rows.append((count, name, number(ready), number(cpu), number(kib and kib / 1024)))
    return table(("entries", "program", "ready ms", "CPU to load ms", "PSS MiB"), rows)


def idle(results):
    rows = [
        (row["program"], number(row["switches_a_minute"]), number(row["cpu_us_a_minute"]))
        for row in results.get("idle", [])
    ]
    return table(("program", "wake-ups a minute", "CPU a minute, µs"), rows)


def bursts(results):
    found, rows = results.get("burst", []), []
    for jobs, name in dict.fromkeys((row["jobs"], row["program"]) for row in found):
        same = [row for row in found if (row["jobs"], row["program"]) == (jobs, name)]
        last, cpu = median([row["last_ms"] for row in same]), median([row["cpu_ms_a_job"] for row in same])
        rows.append((jobs, name, len(same), number(last), number(cpu), sum(row["lost"] for row in same)))
    return table(("jobs", "program", "rounds", "last start ms", "CPU a job ms", "lost"), rows)


def lasting(results):
    """Memory around bursts: before, while all of them run, after they have ended."""
    rows = []
    for key, words in (("burst", "end at once"), ("lasting", "run at the same time")):
        found = [row for row in results.get(key, []) if "pss_after_kib" in row]
        for jobs, name in dict.fromkeys((row["jobs"], row["program"]) for row in found):
            same = [row for row in found if (row["jobs"], row["program"]) == (jobs, name)]
            sizes = [
                median([row[at] for row in same if at in row])
                for at in ("pss_before_kib", "pss_during_kib", "pss_after_kib")
            ]
            rows.append((jobs, words, name, *(number(size and size / 1024) for size in sizes)))
    return table(("jobs", "that", "program", "PSS MiB before", "during", "after"), rows)


def stores(results):
    """Recovery, memory and the history, with a store."""
    rows = []
    for jobs, name, program in dict.fromkeys(
        (row["jobs"], row["store"], row["program"]) for row in results.get("recovery", [])
    ):
        same = {"program": program, "store": name, "jobs": jobs}
        found = results["recovery"]
        ms, cpu = pick(found, "ms", **same), pick(found, "cpu_ms", **same)
        rows.append((f"recovery of {jobs} jobs from {name}, to in force", program, number(ms, "ms"), number(cpu, "ms")))
    found = results.get("redis_memory", [])
    for count, program in dict.fromkeys((row["entries"], row["program"]) for row in found):
        kib = pick(found, "pss_kib", entries=count, program=program)
        rows.append((f"memory (PSS) with Redis connected, {count} entries", program, number(kib / 1024, "MiB"), "–"))
    found = results.get("history", [])
    for page in dict.fromkeys(row["page"] for row in found):
        ms = pick(found, "ms", page=page)
        rows.append((f"`cronkeep history`, 50 of 1 000 000, {page}", "cronkeep", number(ms, "ms"), "–"))
    return table(("what", "program", "median", "CPU"), rows)


def claims(results):
    rows = []
    for row in results.get("claim", []):
        # The ends are measured since later.
        spans = [row.get(what, {}) for what in ("claim_us", "start_us", "end_us")]
        numbers = [number(at in span and span[at] / 1000 or None) for span in spans for at in ("median", "p99")]
        rows.append((row["burst"], row["link"], *numbers))
    return table(("burst", "link", "claim ms", "p99", "start ms", "p99", "end ms", "p99"), rows)


def throughputs(found):
    """One row for each program and window: the medians of its rounds."""
    rows = found.get("throughput", [])
    same = {(row["what"], row["window"], row["messages"]): [] for row in rows}
    for row in rows:
        same[row["what"], row["window"], row["messages"]].append(row)
    return [
        {"what": what, "window": window, "messages": count}
        | {name: median([row[name] for row in rounds if name in row]) for name in ("a_second", "cpu_us")}
        for (what, window, count), rounds in same.items()
    ]


def messages(results):
    found, rows = results.get("messages") or {}, []
    for row in throughputs(found):
        text = f"{number(row['a_second'], 'a second')}, {number(row['cpu_us'], 'µs')} of CPU each"
        rows.append((f"{row['messages']} confirmed messages, {row['window']} under way", row["what"], text))
    for what in dict.fromkeys(row.get("what") for row in found.get("memory", [])):
        kib = median([row["pss_kib"] for row in found["memory"] if row.get("what") == what])
        rows.append((f"memory (PSS), idle, {what or 'connected'}", "cronkeep", number(kib / 1024, "MiB")))
    for what in dict.fromkeys(row["what"] for row in found.get("latency", [])):
        same = [row["ms"] for row in found["latency"] if row["what"] == what]
        text = f"{number(median(same), 'ms')}, p99 {number(percentile(same, 0.99), 'ms')}"
        rows.append(("one message each second, after its instant", what, text))
    for row in found.get("worker", []):
        rows.append((f"{row['commands']} commands of one instant", row["what"], number(row["a_second"], "a second")))
    return table(("what", "program", "is"), rows)


def micro(results):
    rows = [(f"`{name}`", time(value)) for name, value in results.get("micro", {}).items()]
    return table(("benchmark", "median"), rows)


def time(nanoseconds):
    for unit in ("s", "ms", "µs"):
        if nanoseconds >= UNITS[unit]:
            return number(nanoseconds / UNITS[unit], unit)
    return number(nanoseconds, "ns")


SECTIONS = {
    "machine": machine_words,
    "verdicts": lambda results: verdicts(results).table(),
    "starts": starts,
    "loads": loads,
    "idle": idle,
    "bursts": bursts,
    "lasting": lasting,
    "stores": stores,
    "claims": claims,
    "messages": messages,
    "micro": micro,
}


def tables(results):
    """All of them, to be read at once."""
    return "\n\n".join(section(results) for section in SECTIONS.values())


def write(results):
    """Writes the documents; the page keeps what stands outside its markers."""
    JSON.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    PLOT.write_text(draw(results))
    page = PAGE.read_text()
    for name, section in SECTIONS.items():
        begin, end = f"<!-- {name}: written by make bench -->\n", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise RuntimeError(f"{PAGE}: the markers of {name} are gone")
        page = before + begin + section(results) + "\n" + end + after
    PAGE.write_text(page)
    print(verdicts(results).table())
