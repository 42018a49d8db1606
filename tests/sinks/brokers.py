"""The real thing: nats-server and redis-server as child processes, and what their streams hold.

A server is started on a free port of its own and may be killed and started again on what it has stored. Nothing here
knows how the sinks work.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, StreamConfig
from redis import Redis

from tests.system.service import wait_until

NATS_SERVER = str(Path(sys.executable).parent / "nats-server")
REDIS_SERVER = shutil.which("redis-server") or "redis-server"
SUBJECT = "syslog"
UNACKNOWLEDGED = ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=300.0)
"""The consumer that reads a stream back; a busy machine may leave it alone for long."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A broker's process on `port`, with its files in `folder`."""

    name: str
    command: Sequence[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again too; it takes connections."""
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder)
        wait_until(self._listens, f"{self.name} listens")

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, unless it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def cpu_seconds(self) -> float:
        """What it has used so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class NatsServer(Server):
    """nats-server with JetStream; `more` is added to its configuration."""

    name = "nats"

    def __init__(self, folder: Path, more: str = "") -> None:
        super().__init__(folder)
        config = folder / "nats.conf"
        config.write_text(f'listen: 127.0.0.1:{self.port}\njetstream {{ store_dir: "{folder}/js" }}\n{more}\n')
        self.command = (NATS_SERVER, "-c", str(config))
        self.options: dict[str, Any] = {}

    @property
    def service(self) -> str:
        """What --service is given."""
        return f"514=nats://127.0.0.1:{self.port}/{SUBJECT}"

    def add_stream(self, **config: Any) -> None:
        """A stream for the subject."""

        async def add() -> None:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}", **self.options)
            await client.jetstream().add_stream(StreamConfig(name="S", subjects=[SUBJECT], **config))
            await client.close()

        asyncio.run(add())

    def add_full_stream(self, most: int) -> None:
        """A stream that holds no more than `most`, and refuses what comes then."""
        self.add_stream(max_msgs=most, discard=DiscardPolicy.NEW)

    def make_room(self) -> None:
        """Empty the stream."""

        async def purge() -> None:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}", **self.options)
            await client.jetstream().purge_stream("S")
            await client.close()

        asyncio.run(purge())

    def entries(self) -> list[tuple[dict[str, str], bytes]]:
        """All that the stream holds, in its order: headers or fields, and octets."""

        async def read() -> list[tuple[dict[str, str], bytes]]:
            client = await nats.connect(f"nats://127.0.0.1:{self.port}", **self.options)
            stream = client.jetstream()
            left = (await stream.stream_info("S")).state.messages
            subscription = await stream.pull_subscribe(SUBJECT, stream="S", config=UNACKNOWLEDGED)
            found = []
            while left > 0:
                batch = await subscription.fetch(min(left, 5000), timeout=10)
                found += [(dict(message.headers or {}), message.data) for message in batch]
                left -= len(batch)
            await client.close()
            return found

        return asyncio.run(read())


class RedisServer(Server):
    """redis-server that writes every entry to its file before it says that it has it."""

    name = "redis"

    def __init__(self, folder: Path, *more: str) -> None:
        super().__init__(folder)
        durable = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        self.command = (REDIS_SERVER, "--port", str(self.port), "--dir", str(folder), *durable, *more)
        self.options: dict[str, Any] = {}

    @property
    def service(self) -> str:
        """What --service is given."""
        return f"514=redis://127.0.0.1:{self.port}/{SUBJECT}"

    def add_stream(self) -> None:
        """XADD makes it."""

    def client(self) -> Redis:
        return Redis(port=self.port, **self.options)

    def entries(self) -> list[tuple[dict[str, str], bytes]]:
        """See `NatsServer.entries`."""
        found, start = [], b"-"
        with self.client() as client:
            while page := client.xrange(SUBJECT, start, "+", 5000):
                for _, entry in page:
                    data = entry.pop(b"data")
                    found.append(({name.decode(): value.decode() for name, value in entry.items()}, data))
                start = b"(" + page[-1][0]
        return found


SERVERS = {"nats": NatsServer, "redis": RedisServer}


@contextmanager
def serving(kind: str, folder: Path, *more: str) -> Iterator[NatsServer | RedisServer]:
    """A server of a kind with its stream, running."""
    server = SERVERS[kind](folder, *more)
    try:
        server.start()
        server.add_stream()
        yield server
    finally:
        server.kill()


def identity(headers: dict[str, str]) -> str:
    """What an entry is known by, whichever broker has it."""
    return headers.get("Nats-Msg-Id") or headers["id"]


def law(sink: dict[str, Any]) -> int:
    """Datagrams that a sink's ledger in its JSON form does not account for."""
    accounted = sink["acknowledged"] + sink["in_flight"] + sum(sink["failed"].values())
    return int(sink["received"]) - int(accounted)


def only(ledger: dict[str, Any]) -> dict[str, Any]:
    """The one sink of statistics or of a final ledger."""
    (sink,) = ledger["sinks"].values()
    assert law(sink) == 0, json.dumps(sink)
    found: dict[str, Any] = sink
    return found
