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
        # Trailing bytes feed the fixed-size parts of the input: libFuzzer takes those from the end.
        seed("next_fire", vector["expr"].encode() + bytes([number % 8, number % 4, 1, 2, 3, 4]))
with gzip.open(VECTORS / "job-ids.json.gz", "rt", encoding="utf-8") as file:
    vectors = json.load(file)
for vector in vectors["vectors"]:
    if vector["cached_json_row"]:
        seed("legacy_rows", f"[{vector['cached_json_row']}]".encode())
for table in vectors["files"]:
    seed("legacy_rows", table["cached_json"].encode())
