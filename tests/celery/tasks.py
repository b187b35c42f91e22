"""What the worker of the tests carries out."""

import json
import os
import time

from celery import current_task
from reports import app

app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
    result_expires=None,
)


@app.task(name="tasks.note")
def note(*args, **kwargs):
    """Writes down what it got."""
    line = json.dumps([current_task.request.id, args, kwargs], sort_keys=True)
    with open(os.environ["NOTES"], "a", encoding="ascii") as notes:
        notes.write(line + "\n")
    return len(args)


@app.task(name="tasks.add")
def add(x, y):
    return x + y


@app.task(name="tasks.echo")
def echo(value):
    return value


@app.task(name="tasks.fail")
def fail(words):
    raise ValueError(words)


@app.task(name="tasks.again", bind=True, max_retries=2)
def again(self):
    """Succeeds at its second attempt."""
    if self.request.retries < 1:
        raise self.retry(countdown=0, exc=KeyError("not yet"))
    return "at last"


@app.task(name="tasks.nap")
def nap(seconds, path):
    """Says that it has begun, and sleeps."""
    open(path, "w", encoding="ascii").close()
    time.sleep(seconds)
