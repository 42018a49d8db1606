"""Redis's answers, each taken for what it says; and the connection against a real server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from asyncnic.settings.sinks import parse_sink
from asyncnic.sinks.broker import BrokerError
from asyncnic.sinks.redis_stream import _verdict, broker
from asyncnic.sinks.window import BrokerVerdict, Received
from tests.sinks.brokers import RedisServer, free_port, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with serving("redis", tmp_path) as found:
        assert isinstance(found, RedisServer)
        yield found


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), BrokerVerdict.LATER),
        (ReadOnlyError("You can't write against a read only replica."), BrokerVerdict.LATER),
        (ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), BrokerVerdict.LATER),
        (ResponseError("MISCONF Redis is configured to save RDB snapshots"), BrokerVerdict.LATER),
        (ResponseError("Protocol error: invalid bulk length"), BrokerVerdict.REFUSED),
    ],
)
def test_answers(error: ResponseError, verdict: BrokerVerdict) -> None:
    assert _verdict(error) == (verdict, str(error))


async def test_what_is_published_is_acknowledged_until_the_server_is_gone(server: RedisServer) -> None:
    answers: list[tuple[int, BrokerVerdict, str]] = []
    connecting = broker(parse_sink(server.service), "").connect(lambda *answer: answers.append(answer))
    with pytest.raises(BrokerError):
        async with connecting as session, asyncio.timeout(20):
            source, local = ("192.0.2.1", 1), ("2001:db8::2", 514, 0, 0)
            await session.publish([Received(0, 5, b"data\r\n\0", source, local), Received(1, 6, b"", source, local)])
            while len(answers) < 2:
                await asyncio.sleep(0.001)
            (fields, data), (_, empty) = await asyncio.to_thread(server.entries)
            server.kill()
            await session.lost()
    assert [answer[:2] for answer in answers] == [(0, BrokerVerdict.ACKNOWLEDGED), (1, BrokerVerdict.ACKNOWLEDGED)]
    assert (data, empty) == (b"data\r\n\0", b"")
    assert {**fields, "id": fields["id"].partition("-")[2]} == {
        "id": "0",
        "time": "5",
        "source": "192.0.2.1:1",
        "local": "[2001:db8::2]:514",
    }


async def test_a_server_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(BrokerError, match="111"):
        async with broker(parse_sink(f"514=redis://127.0.0.1:{free_port()}/a"), "").connect(lambda *answer: None):
            pytest.fail("connected to nobody")
