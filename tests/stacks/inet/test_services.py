import asyncio
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from dnslib import DNSRecord  # type: ignore[import-untyped]

from asyncnic.stacks.inet.services import PortService, TcpDiscard, TcpEcho, UdpDiscard, UdpEcho, parse_service
from tests.stacks.inet.wire import PEER, Bench, udp4, udp6
from tests.system import dns_responder

ROOT = Path(__file__).parents[3]


class Mine(asyncio.DatagramProtocol):
    """A protocol of the user's own."""


CONSTANT = 5


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("udp-echo:7", PortService(UdpEcho, 7)),
        ("udp-discard:9", PortService(UdpDiscard, 9)),
        ("tests.stacks.inet.test_services:Mine:53", PortService(Mine, 53)),
        ("tcp-echo:7", PortService(TcpEcho, 7, True)),
        ("tcp-discard:9", PortService(TcpDiscard, 9, True)),
        ("tcp:tests.stacks.inet.test_services:Mine:53", PortService(Mine, 53, True)),
    ],
)
def test_services_are_found_by_name(text: str, service: PortService) -> None:
    assert parse_service(text) == service


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("udp-echo", "'udp-echo' is not a port"),
        ("udp-echo:", "'' is not a port"),
        ("udp-echo:0", "'0' is not a port"),
        ("udp-echo:65536", "'65536' is not a port"),
        ("udp-echo:²", "'²' is not a port"),
        ("udp-eco:7", "'udp-eco' is none of udp-echo, udp-discard, tcp-echo, tcp-discard"),
        (":7", "'' is none of"),
        ("no.such.module:Mine:7", "cannot import 'no.such.module': ModuleNotFoundError"),
        (":Mine:7", "cannot import ''"),
        (".relative:Mine:7", "cannot import '.relative'"),
        ("tests.stacks.inet.test_services:Yours:7", "no 'Yours' in module"),
        ("tests.stacks.inet.test_services::7", "no '' in module"),
        ("tests.stacks.inet.test_services:CONSTANT:7", "'CONSTANT' in module .* cannot be called"),
    ],
)
def test_mistakes_are_named_in_one_line(text: str, token: str) -> None:
    with pytest.raises(ValueError, match=token) as caught:
        parse_service(text)
    assert "\n" not in str(caught.value)
    assert repr(text) in str(caught.value)


async def test_echo_and_discard_on_the_kernel_s_sockets() -> None:
    loop = asyncio.get_running_loop()
    echo, _ = await loop.create_datagram_endpoint(UdpEcho, ("127.0.0.1", 0))
    sink, discard = await loop.create_datagram_endpoint(UdpDiscard, ("127.0.0.1", 0))
    heard: asyncio.Future[bytes] = loop.create_future()

    class Ask(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            heard.set_result(data)

    ask, _ = await loop.create_datagram_endpoint(Ask, ("127.0.0.1", 0))
    ask.sendto(b"into the void", sink.get_extra_info("sockname"))
    ask.sendto(b"come back", echo.get_extra_info("sockname"))
    assert await asyncio.wait_for(heard, 5) == b"come back"
    while discard.datagrams == 0:
        await asyncio.sleep(0.001)
    for transport in (echo, sink, ask):
        transport.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("source", "port", "answered"),
    [
        (1, 7, False),
        (7, 7, False),
        (53, 7, False),
        (1023, 7, False),
        (1024, 7, True),
        (5000, 7, True),
        (9000, 9000, False),
    ],
)
async def test_an_echo_does_not_answer_what_could_be_an_answer(
    family: int, source: int, port: int, answered: bool
) -> None:
    bench = Bench()
    bench.know_peers()
    _, echo = await bench.inet.create_datagram_endpoint(UdpEcho, ("0.0.0.0" if family == 4 else "::", port))
    frame = (udp4 if family == 4 else udp6)(b"again", source, port)
    assert bench.feed(frame, frame) == {("udp", "delivered"): 2}
    assert len(bench.replies()) == 2 * answered
    assert (echo.datagrams, echo.ignored) == (2, 0 if answered else 2)


async def test_two_echoes_do_not_keep_each_other_busy() -> None:
    """A datagram forged to come from the other one's port ends at once."""
    bench = Bench()
    bench.know_peers()
    for port in (7, 19):
        await bench.inet.create_datagram_endpoint(UdpEcho, ("0.0.0.0", port))
    bench.feed(udp4(b"round", 19, 7), udp4(b"round", 7, 19), udp4(b"round", 7, 7))
    assert bench.replies() == []


def responder_of_the_example() -> Any:
    return runpy.run_path(str(ROOT / "deploy" / "examples" / "dns.py"))["Responder"]()


@pytest.mark.parametrize("make", [responder_of_the_example, dns_responder.Responder])
def test_a_dns_responder_does_not_answer_an_answer(make: Callable[[], Any]) -> None:
    class Transport(asyncio.DatagramTransport):
        sent: ClassVar[list[bytes]] = []

        def sendto(self, data: Any, addr: Any = None) -> None:
            self.sent.append(data)

    Transport.sent.clear()
    responder = make()
    responder.connection_made(Transport())
    question = DNSRecord.question("nic.example.")
    responder.datagram_received(question.pack(), (PEER, 5000))
    (answer,) = Transport.sent
    responder.datagram_received(answer, (PEER, 53))
    assert Transport.sent == [answer]
