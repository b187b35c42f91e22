#!/usr/bin/env bash
# Puts the crons under the tests of tests/rows, and compares with the table of docs/compatibility.md.
#
#   tests/rows/matrix.sh check    says where the table is wrong
#   tests/rows/matrix.sh write    writes its columns
set -euo pipefail
cd "$(dirname "$0")/../.."
table=docs/compatibility.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo test --locked --test rows --no-run
for crond in cronkeep debian busybox; do
  # Failures are what is asked for; that the tests ran at all is seen below.
  { CI=true CROND_UNDER_TEST=$crond cargo test --locked --test rows > "$work/$crond" 2>&1 || true; } &
done
wait

# Row and verdict of each test, from libtest's lines.
verdicts() {
  sed -nE 's/^test [a-z]+::row_([0-9]+)_[a-z0-9_]+ \.\.\. (ok|FAILED)$/\1 \2/p' "$work/$1" |
    sed 's/ok$/yes/; s/FAILED$/no/'
}

for crond in cronkeep debian busybox; do
  verdicts "$crond" > "$work/$crond.rows"
  if [ "$(wc -l < "$work/$crond.rows")" -lt 50 ]; then
    tail -40 "$work/$crond" >&2
    echo "tests/rows/matrix.sh: the rows of $crond were not judged" >&2
    exit 1
  fi
done
if grep ' no$' "$work/cronkeep.rows"; then
  echo "tests/rows/matrix.sh: Cronkeep fails these rows" >&2
  exit 1
fi

awk -F ' \\| ' -v OFS=' | ' -v debian="$work/debian.rows" -v busybox="$work/busybox.rows" '
  BEGIN {
    while ((getline line < debian) > 0) { split(line, word, " "); d[word[1]] = word[2] }
    while ((getline line < busybox) > 0) { split(line, word, " "); b[word[1]] = word[2] }
  }
  /^<!-- rows -->$/ { inside = 1 }
  /^<!-- \/rows -->$/ { inside = 0 }
  inside && match($1, /^\| [0-9]+$/) {
    row = substr($1, 3)
    $3 = row in d ? d[row] : "–"
    $4 = row in b ? b[row] : "–"
  }
  { print }
' "$table" > "$work/table"

case "${1:-check}" in
  write) cat "$work/table" > "$table" ;;
  check) diff -u "$table" "$work/table" ;;
  *) echo "tests/rows/matrix.sh: write or check" >&2; exit 2 ;;
esac
