"""Writes the first corpus of each fuzz target from the conformance vectors."""

import gzip
import hashlib
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent
VECTORS = ROOT.parent / "tests" / "conformance" / "vectors"


def lines(name):
    with gzip.open(VECTORS / f"{name}.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def seed(target, data):
    folder = ROOT / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.md5(data).hexdigest()).write_bytes(data)


for vector in lines("parse.jsonl"):
    text = vector.get("text")
    if text is not None and len(text) < 4096:
        seed("crontab", text.encode())
        for token in text.split():
            seed("field", token.encode())
for name in ("next.jsonl", "ext.jsonl"):
    for number, vector in enumerate(lines(name)):
        # The fixed-size parts of the input are taken from its beginning.
        seed("next_fire", bytes([number % 8, number % 4, 1, 2, 3, 4]) + vector["expr"].encode())

for line in [
    "-n", "-f", "-x sch,load", "-m off", "-s -p -P -i -l -L 5", "-f -l 8", "-c", "-V", "-h", "--help",
    "-l", "-e", "-r -i", "-u bob -l", "-T -", "-", "file", "crontab -l", "check --json -", "next --expr @daily",
    "stauts", "--strict jobs check", "-json -test jobs", "run --wait x", "--timeout 5m --max-jobs 3",
]:
    for name in range(5):
        seed("arguments", bytes([name]) + line.replace(" ", "\n").encode())
REQUESTS = [
    "GET /api/v1/jobs", "GET /api/v1/jobs/x", "GET /api/v1/jobs/%2e%2e%2f", "POST /api/v1/jobs/x/run?wait=true",
    "POST /api/v1/jobs/x/pause", "POST /api/v1/jobs/y/resume", "GET /api/v1/runs", "POST /api/v1/runs/x/stop",
    "GET /api/v1/logs/x?follow=true", "GET /api/v1/status", "POST /api/v1/reload", "GET /healthz", "GET /readyz",
    "DELETE /api/v1/jobs", "GET /nothing", "POST /api/v1/publish", "GET /api/v1/outbox?job=x", "POST /api/v1/outbox/drop?all=true",
]
STATUS = {
    "version": "1", "pid": 7, "uptime_s": 70, "sources": [{"file": "/etc/crontab", "errors": 1, "faults": ["x"]}],
    "jobs": {"total": 3, "refused": 1, "paused": 1}, "active": [{"run": "01", "started": "2026-01-01T00:00:00Z"}],
    "waiting": [{"reason": "queue"}], "next": "2026-01-01T00:00:00+00:00",
    "health": {"healthy": True, "degraded": True, "reasons": ["x"]},
}
for request in REQUESTS:
    for body in ("", json.dumps(STATUS)):
        head = f"{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        seed("control", (head + body).encode())
seed("control", json.dumps(STATUS).encode())
for settings in (
    "MAILTO=ops@example.com", "MAILTO=", "MAILTO=a,b\nMAILFROM=c", "MAILTO=$LANG-x@$REGION", "MAILTO=-oQ/tmp",
    "CONTENT_TYPE=text/html; charset=utf-8", 'CONTENT_TYPE="a\\nb: c"\nCONTENT_TRANSFER_ENCODING=base64', "A='x\ty'",
):
    # The last bytes say how much of the input is the output.
    seed("mail", b"said\r\n" + f"{settings}\n* * * * * a%b\n".encode() + bytes([6]))
for command in (
    "cronkeep publish e k", "--json e k '{\"a\": 1}'", "--celery t --wait '' q '[1, \"x\"]'", "e k \"a\\\"b\" 'c'\\ d", "a {b,c} $d `e` *",
    "--property header.a=b --property expires=1h --property priority=9 e k -- --x", '{"status": "SUCCESS", "result": 1, "task_id": "t"}',
):
    seed("words", command.encode())
with gzip.open(VECTORS / "job-ids.json.gz", "rt", encoding="utf-8") as file:
    vectors = json.load(file)
for vector in vectors["vectors"]:
    if vector["cached_json_row"]:
        seed("legacy_rows", f"[{vector['cached_json_row']}]".encode())
for table in vectors["files"]:
    seed("legacy_rows", table["cached_json"].encode())
