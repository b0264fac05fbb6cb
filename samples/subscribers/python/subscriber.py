#!/usr/bin/python3
"""A subscriber: a durable queue of its own, bound to the events that it wants. Each event becomes one line on the standard output.

    apt-get install python3-pika
    samples/subscribers/python/subscriber.py amqp://USER:PASSWORD@HOST:PORT/VHOST QUEUE 'default.run.*'
"""
import json
import sys
import time

import pika
import pika.exceptions

PREFIX = "cloudEvents:"


def main(address, queue, pattern):
    # Events come at least once and in order per run, so what is not newer than the last of its run is a repetition. Who may not handle an event
    # twice, not even after a crash, keeps this together with what the event did.
    newest = {}

    def handle(channel, delivery, properties, body):
        # CloudEvents in binary mode: the attributes are headers, the data is the body.
        event = {name[len(PREFIX):]: value for name, value in (properties.headers or {}).items() if name.startswith(PREFIX)}
        event["datacontenttype"] = properties.content_type
        event["data"] = json.loads(body)
        run = event["data"]["runId"]
        if int(event["sequence"]) > newest.get(run, 0):
            newest[run] = int(event["sequence"])
            print(json.dumps(event), flush=True)
        # Only now: an event that was not handled to its end comes again.
        channel.basic_ack(delivery.delivery_tag)

    parameters = pika.URLParameters(address)
    parameters.heartbeat = 10
    while True:
        try:
            connection = pika.BlockingConnection(parameters)
            channel = connection.channel()
            # Durable, so that events wait here while this program does not run. Declaring it again changes nothing.
            channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
            channel.queue_bind(queue, "tinymlaas.events", pattern)
            channel.basic_qos(prefetch_count=50)
            channel.basic_consume(queue, handle)
            print(f"Subscribed: {pattern} through {queue}", file=sys.stderr, flush=True)
            channel.start_consuming()
            # It returns when the queue was deleted.
            connection.close()
        except (pika.exceptions.AMQPError, OSError) as error:
            print(f"Not connected: {error!r}", file=sys.stderr, flush=True)
        time.sleep(1)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print("usage: subscriber.py ADDRESS QUEUE PATTERN, e.g. amqp://USER:PASSWORD@127.0.0.1:5672/ acme-ci 'acme.run.*'", file=sys.stderr)
        sys.exit(2)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
