"""JetStream's answers, each taken for what it says; and the connection against a real server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from asyncnic.settings.sinks import parse_sink
from asyncnic.sinks.broker import BrokerError
from asyncnic.sinks.jetstream import JetStreamSession, broker
from asyncnic.sinks.window import BrokerVerdict, Received
from tests.sinks.brokers import NatsServer, free_port, serving

Answers = list[tuple[int, BrokerVerdict, str]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with serving("nats", tmp_path) as found:
        assert isinstance(found, NatsServer)
        yield found


@pytest.mark.parametrize(
    ("data", "headers", "verdict", "why"),
    [
        (b'{"stream":"S","seq":7}', None, BrokerVerdict.ACKNOWLEDGED, ""),
        (b'{ "seq":7, "duplicate":true, "stream":"S"}', None, BrokerVerdict.ACKNOWLEDGED, ""),
        (b"", {"Status": "503"}, BrokerVerdict.LATER, "no stream has the subject a"),
        (b'{"error":{"code":503,"err_code":10077,"description":"full"}}', None, BrokerVerdict.LATER, "full (10077)"),
        (b'{"error":{"code":400,"err_code":10054,"description":"long"}}', None, BrokerVerdict.REFUSED, "long (10054)"),
        (b'{"error":{"code":400,"err_code":10002,"description":"limit"}}', None, BrokerVerdict.LATER, "limit (10002)"),
        (b'{"error":{"code":400,"description":"\\n"}}', None, BrokerVerdict.REFUSED, "an error without a text (0)"),
        (b'{"error":7}', None, BrokerVerdict.LATER, "no stream"),
        (b"[]", None, BrokerVerdict.LATER, "no stream"),
        (b"\xff", None, BrokerVerdict.LATER, "no stream"),
    ],
)
async def test_answers(data: bytes, headers: dict[str, str] | None, verdict: BrokerVerdict, why: str) -> None:
    answers: Answers = []
    session = JetStreamSession("a", "run", lambda *answer: answers.append(answer))
    await session._heard(Msg(Client(), "_INBOX.x.12", "", data, headers))
    await session._heard(Msg(Client(), "_INBOX.x.other", "", data, headers))
    ((number, found, said),) = answers
    assert (number, found) == (12, verdict)
    assert why in said


async def test_what_is_published_is_acknowledged_until_the_server_is_gone(server: NatsServer) -> None:
    answers: Answers = []
    connecting = broker(parse_sink(server.service), "").connect(lambda *answer: answers.append(answer))
    with pytest.raises(BrokerError):
        async with connecting as session, asyncio.timeout(20):
            largest = b"x" * (1 << 20)
            source, local = ("192.0.2.1", 1), ("2001:db8::2", 514, 0, 0)
            await session.publish([Received(0, 5, b"data", source, local), Received(1, 5, largest, source, local)])
            while len(answers) < 2:
                await asyncio.sleep(0.001)
            server.kill()
            await session.lost()
    assert {(number, verdict) for number, verdict, _ in answers} == {
        (0, BrokerVerdict.ACKNOWLEDGED),
        (1, BrokerVerdict.REFUSED),
    }


async def test_a_server_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(BrokerError, match=r"refused|Connect call failed"):
        async with broker(parse_sink(f"514=nats://127.0.0.1:{free_port()}/a"), "").connect(lambda *answer: None):
            pytest.fail("connected to nobody")
