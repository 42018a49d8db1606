"""Reads what a sink has published, once each: a JetStream consumer in ten lines, which makes its stream.

asyncnic run --device tap:syslog0 --service 514=nats://127.0.0.1/syslog
python consumer.py nats://127.0.0.1:4222 syslog
"""

import asyncio
import sys

import nats


async def main(url: str, subject: str) -> None:
    """Print when and where from each datagram came, and its octets."""
    stream = (await nats.connect(url)).jetstream()
    await stream.add_stream(name=subject, subjects=[subject], max_bytes=1 << 30, discard="new")
    consumer = await stream.pull_subscribe(subject, durable="example")
    print("ready", flush=True)
    while True:
        for message in await consumer.fetch(100, timeout=86_400):
            headers = message.headers or {}
            print(headers["Asyncnic-Time"], headers["Asyncnic-Source"], message.data, flush=True)
            await message.ack()


asyncio.run(main(*sys.argv[1:]))
