"""Reads JSON texts, one a line, and writes each as `tasks.note` would."""

import json
import sys

for line in sys.stdin:
    print(json.dumps(json.loads(line), sort_keys=True), flush=True)
