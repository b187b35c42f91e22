#!/usr/bin/env python3
"""Prints the events that Cronkeep publishes with --events, one a line.

    pip install pika
    ./events-consumer.py amqp://guest:guest@localhost cronkeep.events 'job.failed.#' 'store.*'

Declares the exchange, which Cronkeep does not, and a durable queue: what happens while nobody consumes is printed later.
docs/events.md says what an event looks like.
"""

import argparse
import collections
import json

import pika

# Ids that are remembered, to tell what comes twice: an event is sent again until the broker has confirmed it.
REMEMBERED = 10_000


def words(event):
    """An event on one line."""
    parts = [event["at"], event["host"], event["event"]]
    if job := event.get("job"):
        parts.append(job["name"] or job["key"])
    if run := event.get("run"):
        parts.append(run["id"])
    parts.append(event.get("reason") or event.get("run", {}).get("reason") or "")
    return " ".join(parts).rstrip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="amqp://USER:PASSWORD@HOST/VHOST")
    parser.add_argument("exchange")
    parser.add_argument("bindings", nargs="*", help="which events: # (all of them) unless given")
    parser.add_argument("--queue", default="events-consumer")
    parser.add_argument("--json", action="store_true", help="print the events as they are")
    asked = parser.parse_args()

    channel = pika.BlockingConnection(pika.URLParameters(asked.url)).channel()
    channel.queue_declare(asked.queue, durable=True)
    # What is published between this and the bindings is nobody's.
    channel.exchange_declare(asked.exchange, exchange_type="topic", durable=True)
    for binding in asked.bindings or ["#"]:
        channel.queue_bind(asked.queue, asked.exchange, binding)
    channel.basic_qos(prefetch_count=100)

    seen = collections.OrderedDict()
    for delivery, properties, body in channel.consume(asked.queue):
        if properties.message_id not in seen:
            seen[properties.message_id] = None
            if len(seen) > REMEMBERED:
                seen.popitem(last=False)
            print(body.decode() if asked.json else words(json.loads(body)), flush=True)
        channel.basic_ack(delivery.delivery_tag)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
