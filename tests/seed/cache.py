"""What the Python service caches of a crontab, and the ids that it gives: its own expressions, over python-crontab.

Each line of standard input is a crontab in hexadecimal digits; each line of standard output says what came of it:
"cached", the text for Redis, and "ids", or "error", the name of the exception that ends the service's reading.
"""

import hashlib
import json
import logging
import os
import sys
import tempfile

from crontab import CronTab

logging.disable(logging.CRITICAL)


def read(path):
    cron_jobs = []
    ids = []
    for job in CronTab(tabfile=path, user=False):
        job_mark = f"{str(job.minute)},{str(job.hour)},{str(job.dom)},{str(job.month)},{str(job.dow)},{job.user},{job.command}"
        ids.append(f"crondServiceTask-{hashlib.md5(job_mark.encode('utf-8')).hexdigest()[8:-8]}")
        # The service puts the five texts into its queue: python-crontab sorts its lists once more.
        [str(job.minute), str(job.hour), str(job.dom), str(job.month), str(job.dow)]
        cron_jobs.append(
            [str(job.minute), str(job.hour), str(job.dom), str(job.month), str(job.dow), job.user, job.command]
        )
    return {"cached": json.dumps(cron_jobs), "ids": ids}


with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "crontab")
    for line in sys.stdin:
        with open(path, "wb") as file:
            file.write(bytes.fromhex(line))
        try:
            answer = read(path)
        except Exception as error:
            answer = {"error": type(error).__name__}
        print(json.dumps(answer), flush=True)
