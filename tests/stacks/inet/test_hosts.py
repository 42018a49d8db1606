"""One port of all hosts of a prefix: a protocol and a transport for each, in a bounded table."""

import asyncio
from ipaddress import ip_network
from typing import Any

import pytest

from tests.stacks.inet.test_prefixes import ANY, FAMILIES, NET, bench, datagram
from tests.stacks.inet.wire import PEER


class Device(asyncio.DatagramProtocol):
    """A host of its own."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.name = transport.get_extra_info("sockname")[0]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.append(data)
        self.transport.sendto(self.name.encode(), addr)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@pytest.mark.parametrize("family", [4, 6])
async def test_each_local_address_has_a_protocol_from_its_first_datagram_in_a_bounded_table(family: int) -> None:
    net, far, _ = FAMILIES[family]
    tried, made = bench(), list[Device]()

    def factory() -> Device:
        made.append(Device())
        return made[-1]

    transport, first = await tried.inet.create_datagram_endpoint(factory, (net, 161))
    targets = [str(ip_network(net)[number]) for number in range(5, 5 + ANY.limit + 3)]
    assert (made, transport.get_extra_info("sockname")) == ([first], (net, 161))
    for target in targets[: ANY.limit]:
        tried.feed(datagram(target, far, 161), datagram(target, far, 161))
        assert [frame[42 if family == 4 else 62 :].rstrip(b"\0") for frame in tried.replies()] == [target.encode()] * 2
    assert made[0] is first
    assert [device.name for device in made] == targets[: ANY.limit]
    tried.feed(datagram(targets[0], "198.51.100.8" if family == 4 else "2001:db8:ffff::8", 161))  # heard of again
    for target in targets[ANY.limit :]:
        tried.feed(datagram(target, far, 161))
    await asyncio.sleep(0)
    assert [device.name for device in made if device.lost] == targets[1:4]
    assert tried.inet.events()["hosts_evicted"] == 3
    tried.feed(datagram(targets[1], far, 161))  # comes back as a new one
    assert (made[-1].name, made[-1].heard) == (targets[1], [b"hello"])
    transport.close()
    await asyncio.sleep(0)
    assert all(device.lost for device in made)
    assert set(tried.feed(datagram(targets[0], far, 161))) == {("udp", "no_listener")}


async def test_what_is_no_prefix_of_ours_and_what_is_taken_is_refused() -> None:
    tried = bench()
    create = tried.inet.create_datagram_endpoint
    for nobody in ("198.51.100.0/24", "203.0.0.0/8", "203.0.96.0/19", "10.0.0.0/8"):
        with pytest.raises(OSError, match=r"[Cc]annot assign"):
            await create(Device, (nobody, 161))
    with pytest.raises(ValueError, match="has host bits set"):
        await create(Device, ("203.0.112.1/20", 161))
    with pytest.raises(ValueError, match="port"):
        await create(Device, (NET, 0))
    with pytest.raises(ValueError, match="connected to nobody"):
        await create(Device, (NET, 161), (PEER, 1))
    await create(Device, (NET, 161))
    for taken in (NET, "203.0.113.0/24", "203.0.113.9", "0.0.0.0"):
        with pytest.raises(OSError, match="in use"):
            await create(Device, (taken, 161))
    await create(Device, ("::", 161))
    await create(Device, ("203.0.113.9", 162))
    with pytest.raises(OSError, match="in use"):
        await create(Device, ("203.0.113.0/24", 162))


async def test_a_factory_that_fails_costs_its_datagram(recwarn: object) -> None:
    tried, told = bench(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    made = iter([Device()])
    await tried.inet.create_datagram_endpoint(lambda: next(made), (NET, 161))
    tried.feed(datagram("203.0.112.5", port=161))
    assert set(tried.feed(datagram("203.0.112.6", port=161))) == {("udp", "handler_error")}
    assert isinstance(told[0]["exception"], RuntimeError | StopIteration)
