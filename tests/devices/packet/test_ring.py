"""What a real interface does to frames, and that they come out of the ring as a wire carries them."""

import random
import subprocess

import pytest

from asyncnic.devices.device import PacketOptions
from tests.devices.packet import frames
from tests.devices.packet.rig import Cable, drained, ip, nic_on, take
from tests.waiting import until
from tests.wire import HOST, MAC, assert_law, frame

OCTETS = random.Random(3).randbytes(65536)


@pytest.mark.parametrize("size", [1, 18, 19, 1400])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("make", [frames.udp, frames.tcp])
async def test_an_unfinished_checksum_is_completed(cable: Cable, make, version: int, size: int) -> None:  # type: ignore[no-untyped-def]
    one = make(version, OCTETS[:size])
    async with nic_on(cable) as nic:
        cable.send_offloaded(one, start=frames.start_of(version), offset=6 if make is frames.udp else 16)
        (came,) = await take(nic, 1)
        _, transport = frames.unpacked(came)
        assert transport.endswith(OCTETS[:size])
        assert_law(nic, offered=1)


async def test_a_checksum_that_is_there_is_left_as_it_is(cable: Cable) -> None:
    wrong = bytearray(frames.udp(4, b"hello", unfinished=False))
    wrong[41] ^= 0xFF
    async with nic_on(cable) as nic:
        cable.send(bytes(wrong))
        assert await take(nic, 1) == [bytes(wrong).ljust(60, b"\0")]


@pytest.mark.parametrize("octets", [2000, 17_000, 65_000])
@pytest.mark.parametrize("version", [4, 6])
async def test_a_run_of_segments_is_cut(cable: Cable, version: int, octets: int) -> None:
    head, size = frames.start_of(version) + 32, 1448 if version == 4 else 1428
    async with nic_on(cable) as nic:
        cable.send_offloaded(
            frames.tcp(version, OCTETS[:octets]),
            start=frames.start_of(version),
            offset=16,
            kind=1 if version == 4 else 4,
            size=size,
            headers=head,
        )
        cable.send(frame(MAC, 9))
        pieces = -(-octets // size)
        came = await take(nic, pieces + 1)
        assert came.pop() == frame(MAC, 9)
        payload = b""
        for number, one in enumerate(came):
            header, transport = frames.unpacked(one)
            if version == 4:
                assert int.from_bytes(header[4:6], "big") == 7 + number
            assert int.from_bytes(transport[4:8], "big") == (0xFFFF_FF00 + len(payload)) & 0xFFFF_FFFF
            # CWR is the first one's, FIN and PSH the last one's.
            assert transport[13] == 0x10 | (0x80 if number == 0 else 0) | (0x09 if number == pieces - 1 else 0)
            payload += transport[32:]
        assert payload == OCTETS[:octets]
        assert_law(nic, offered=pieces + 1)


@pytest.mark.parametrize("octets", [600, 60 * 18, 9 * 1400 + 1, 40 * 1400])
@pytest.mark.parametrize("version", [4, 6])
async def test_a_run_of_datagrams_is_cut(cable: Cable, version: int, octets: int) -> None:
    size = 18 if octets < 2000 else 1400
    async with nic_on(cable) as nic:
        cable.send_offloaded(
            frames.udp(version, OCTETS[:octets]),
            start=frames.start_of(version),
            offset=6,
            kind=5,
            size=size,
            headers=frames.start_of(version) + 8,
        )
        pieces = -(-octets // size)
        came = [frames.unpacked(one)[1][8:] for one in await take(nic, pieces)]
        assert came == [OCTETS[start : min(start + size, octets)] for start in range(0, octets, size)]
        assert_law(nic, offered=pieces)


async def test_a_super_frame_without_room_is_one_frame_that_was_dropped(cable: Cable) -> None:
    async with nic_on(cable, packet=PacketOptions(ring=32)) as nic:
        for _ in range(40):
            cable.send_offloaded(frames.udp(4, OCTETS[: 60 * 18]), start=34, offset=6, kind=5, size=18, headers=42)
        async with drained(nic):
            await until(lambda: nic.ledger().delivered == 32 * 60)
        assert nic.ledger().dropped_at("kernel") == 8
        assert_law(nic, offered=32 * 60 + 8)


async def test_a_super_frame_that_is_cut_when_the_interface_goes(cable: Cable) -> None:
    async with nic_on(cable, rx_ring=16) as nic:
        cable.send_offloaded(frames.udp(4, OCTETS[: 60 * 18]), start=34, offset=6, kind=5, size=18, headers=42)
        async for burst in nic:
            assert len(burst) == 16
            break
        assert_law(nic, offered=16)
        await nic.device.close()
        assert nic.ledger().dropped_at("kernel") == 1  # what was left of it
        assert_law(nic, offered=17)


@pytest.mark.parametrize(("tag", "tci"), [(b"\x81\x00", 7), (b"\x81\x00", 0x6FFF), (b"\x88\xa8", 7)])
async def test_a_tag_is_put_back(cable: Cable, tag: bytes, tci: int) -> None:
    one = frame(MAC, 5, 100)
    tagged = one[:12] + tag + tci.to_bytes(2, "big") + one[12:]
    async with nic_on(cable) as nic:
        cable.send(tagged, one)
        assert await take(nic, 2) == [tagged, one]
        assert_law(nic, offered=2)


async def test_a_tagged_run_is_cut_with_its_tag(cable: Cable) -> None:
    tag = b"\x81\x00\x00\x07"
    one = frames.udp(4, OCTETS[:600], tag=tag)
    async with nic_on(cable) as nic:
        cable.send_offloaded(one, start=38, offset=6, kind=5, size=100, headers=46)
        came = await take(nic, 6)
        assert [frames.unpacked(piece, 18)[1][8:] for piece in came] == [
            OCTETS[start : start + 100] for start in range(0, 600, 100)
        ]
        assert {piece[12:16] for piece in came} == {tag}
        assert_law(nic, offered=6)


@pytest.fixture
def jumbo(cable: Cable) -> Cable:
    for end in (cable.name, cable.neighbour):
        ip("link", "set", end, "mtu", "9000")
    return cable


@pytest.mark.parametrize("size", [1477, 1953, 4000, 8972])
@pytest.mark.parametrize("flags", [0, 0x4000])
async def test_a_jumbo_datagram_comes_in_fragments(jumbo: Cable, size: int, flags: int) -> None:
    one = frames.udp(4, OCTETS[:size], unfinished=False, flags=flags, identification=0x1234)
    async with nic_on(jumbo) as nic:
        jumbo.send(one)
        pieces = -(-(size + 8) // 1480)
        came = await take(nic, pieces)
        whole, places = b"", []
        for piece in came:
            header, transport = frames.unpacked(piece)
            places.append(int.from_bytes(header[6:8], "big"))
            assert (header[4:6] == b"\x12\x34") == (flags == 0)
            whole += transport
        assert whole == one[34:]
        assert places == [index * 185 | (0x2000 if index < pieces - 1 else 0) for index in range(pieces)]
        assert_law(nic, offered=pieces)


@pytest.mark.parametrize("unfinished", [False, True])
async def test_a_jumbo_datagram_over_ipv6_comes_in_fragments(jumbo: Cable, unfinished: bool) -> None:
    one = frames.udp(6, OCTETS[:8000], unfinished=unfinished)
    whole = b""
    async with nic_on(jumbo) as nic:
        if unfinished:
            jumbo.send_offloaded(one, start=54, offset=6)
        else:
            jumbo.send(one)
        pieces = -(-8008 // 1456)
        for number, piece in enumerate(await take(nic, pieces)):
            header, rest = frames.unpacked(piece)
            assert (header[6], rest[0]) == (44, 17)
            assert int.from_bytes(rest[2:4], "big") == number * 1456 | (number < pieces - 1)
            whole += rest[8:]
        assert whole[8:] == OCTETS[:8000]
        assert frames.total(frames.pseudo(6, 17, 8008) + whole) == 0xFFFF
        assert_law(nic, offered=pieces)


async def test_a_jumbo_segment_is_cut(jumbo: Cable) -> None:
    async with nic_on(jumbo) as nic:
        jumbo.send_offloaded(frames.tcp(4, OCTETS[:8000]), start=34, offset=16)
        pieces = -(-8000 // (1518 - 66))
        payload = b"".join(frames.unpacked(one)[1][32:] for one in await take(nic, pieces))
        assert payload == OCTETS[:8000]
        assert_law(nic, offered=pieces)


async def test_what_cannot_be_cut_is_counted_as_too_long(jumbo: Cable) -> None:
    async with nic_on(jumbo) as nic, drained(nic):
        jumbo.send(frame(MAC, 1, 1519), frame(MAC, 2, 1960), frame(MAC, 3, 2049), frame(MAC, 4, 9000), frame(MAC, 5))
        await until(lambda: nic.ledger().offered == 5 and not nic.ledger().in_flight)
        assert nic.ledger().dropped_at("driver") == 4
        assert_law(nic, offered=5)


async def test_multicast_that_the_host_sends_itself_is_not_received(cable: Cable) -> None:
    ip("address", "add", "192.0.2.77/24", "dev", cable.name)
    sender = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); " + (
        "s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton('192.0.2.77')); "
        "s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1); "
        "s.sendto(b'loop', ('224.0.0.251', 5353))"
    )
    async with nic_on(cable) as nic, drained(nic):
        subprocess.run(["python3", "-c", sender], check=True)
        cable.send(frame(MAC, 1))
        await until(lambda: nic.ledger().delivered == 1)
        assert_law(nic, offered=1)


async def test_frames_over_a_bridge(cable: Cable) -> None:
    number = cable.name
    ip("link", "add", f"br{number}", "type", "bridge")
    far = Cable()
    try:
        ip("link", "set", f"br{number}", "up")
        for end in (cable.neighbour, far.neighbour):
            ip("link", "set", end, "master", f"br{number}")
        ip("link", "set", far.name, "address", HOST.hex(":"))
        async with nic_on(cable) as nic:
            far.socket.close()
            far.neighbour = far.name
            far.socket = far._open()
            run = frames.udp(4, OCTETS[:600])

            def sent() -> bool:
                far.send_offloaded(run, start=34, offset=6, kind=5, size=100, headers=42)
                return bool(nic.accounts().lanes["bulk"].waiting)

            await until(sent)  # the bridge's ports begin to forward a moment after they are up
            came = await take(nic, 6)
            assert [frames.unpacked(one)[1][8:] for one in came[:6]] == [
                OCTETS[start : start + 100] for start in range(0, 600, 100)
            ]
            assert nic.ledger().imbalance == 0
    finally:
        far.unplug()
        subprocess.run(["ip", "link", "del", f"br{number}"], check=False)
