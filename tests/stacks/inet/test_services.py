import asyncio

import pytest

from asyncnic.stacks.inet.services import Service, UdpDiscard, UdpEcho, parse_service


class Mine(asyncio.DatagramProtocol):
    """A protocol of the user's own."""


CONSTANT = 5


@pytest.mark.parametrize(
    ("text", "service"),
    [
        ("udp-echo:7", Service(UdpEcho, 7)),
        ("udp-discard:9", Service(UdpDiscard, 9)),
        ("tests.stacks.inet.test_services:Mine:53", Service(Mine, 53)),
    ],
)
def test_services_are_found_by_name(text: str, service: Service) -> None:
    assert parse_service(text) == service


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("udp-echo", "'udp-echo' is not a port"),
        ("udp-echo:", "'' is not a port"),
        ("udp-echo:0", "'0' is not a port"),
        ("udp-echo:65536", "'65536' is not a port"),
        ("udp-echo:²", "'²' is not a port"),
        ("udp-eco:7", "'udp-eco' is none of udp-echo, udp-discard"),
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
