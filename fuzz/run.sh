#!/usr/bin/env bash
# Runs each fuzz target for some seconds, seeded from the vectors; a finding ends it with its code.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
command -v cargo-fuzz >/dev/null || [ -x target/tools/bin/cargo-fuzz ] ||
  cargo install --quiet --locked --root target/tools cargo-fuzz
PATH="$PATH:target/tools/bin"
python3 fuzz/seed.py
for target in arguments control crontab field legacy_rows mail next_fire words; do
  cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096
done
