"""The sinks' side as a trial: octets that a broker answers, after a greeting of its own or instead of it.

Each input is one connection's, to a real sink with datagrams in its window; then the broker hangs up. The sink may
believe it or not; it notices, says so in a line, and has every datagram in one place.
"""

import asyncio
import gc
from collections.abc import Callable

from asyncnic.settings.sinks import SinkAddress, parse_sink
from asyncnic.sinks import jetstream, redis_stream
from asyncnic.sinks.broker import Broker
from asyncnic.sinks.sink import BrokerSink
from asyncnic.tasks import beside
from tests.fuzz.streams import in_a_loop

_DATAGRAMS = 8
_PATIENCE = 30.0
"""Seconds until a sink has noticed that its broker has hung up: its own bounds are shorter."""
_INFO = b'INFO {"server_id":"a","version":"2.10.0","headers":true,"max_payload":4096,"proto":1}\r\n'
_BROKERS: dict[str, Callable[[SinkAddress, str], Broker]] = {"redis": redis_stream.broker, "nats": jetstream.broker}
_GREETINGS = {"redis": b"+OK\r\n" * 3, "nats": _INFO + b"PONG\r\n"}


class _Transport(asyncio.DatagramTransport):
    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("192.0.2.2", 514) if name == "sockname" else default


@in_a_loop
async def answers(data: bytes) -> None:
    """The first octet: which broker, and whether it greets; the rest is what it says."""
    kind = ("redis", "nats")[data[0] & 1] if data else "redis"
    said = (_GREETINGS[kind] if data[:1] and data[0] & 2 else b"") + data[1:]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.write_eof()
        while await reader.read(65536):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    broker = _BROKERS[kind](parse_sink(f"514={kind}://127.0.0.1:{port}/s"), "")
    sink = BrokerSink("a sink", broker, lambda: 64, lambda: None)
    protocol = sink.protocol()
    protocol.connection_made(_Transport())
    for number in range(_DATAGRAMS):
        protocol.datagram_received(bytes(number), ("192.0.2.1", 4000))
    async with server:
        async with asyncio.timeout(_PATIENCE), beside(sink.run()):
            while sink.trouble in ("", "not connected yet"):
                await asyncio.sleep(0.001)
            assert sink.trouble.isprintable(), sink.trouble
            assert len(sink.trouble) < 1000, sink.trouble
        ledger = sink.ledger()
        assert ledger.imbalance == 0, ledger
        assert ledger.received == _DATAGRAMS
    sink.close()
    assert sink.ledger().imbalance == 0
    gc.collect(1)  # whoever raised and was not asked about it is told of now


def answer_seeds() -> list[bytes]:
    """Acknowledgements, refusals and nonsense of each kind of broker."""
    acknowledged = b'{"stream":"S","seq":1}'
    status = b"NATS/1.0 503\r\n\r\n"
    return [
        b"\x02" + b"$3\r\n1-1\r\n" * _DATAGRAMS,
        b"\x02" + b"-OOM command not allowed\r\n-WRONGTYPE no\r\n:1\r\n*1\r\n$-1\r\n",
        b"\x00-NOAUTH Authentication required.\r\n",
        b"\x03MSG _INBOX.a.0 1 %d\r\n%b\r\n" % (len(acknowledged), acknowledged),
        b"\x03HMSG _INBOX.a.1 1 %d %d\r\n%b\r\n" % (len(status), len(status), status),
        b"\x03-ERR 'Authorization Violation'\r\nPING\r\n+OK\r\n",
        b"\x01" + _INFO[:20] + b"\r\n",
    ]
