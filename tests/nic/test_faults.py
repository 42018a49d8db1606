"""What a nic on a real TAP meets in its life, through its public face: loss under every hand, liars, impatience."""

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asyncnic.nic.burst import Burst
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.wire import MAC, Wire, assert_law, frame, make_tap, number_of

DELIVERIES = pytest.mark.parametrize("delivery", ["direct", "queue"])


def delete(tap: str) -> None:
    subprocess.run(["ip", "link", "del", tap], check=True)


async def lost(nic: Nic) -> None:
    """Within a second: nothing but the nic's own looks tells it."""
    async with asyncio.timeout(1.0):
        while nic.device_up:
            await asyncio.sleep(0.005)


@DELIVERIES
async def test_waiting_for_room_on_a_lost_device_does_not_stop_the_loop(
    tap_name: str, wire: Wire, delivery: str
) -> None:
    async with asyncio.timeout(20), open_nic(f"tap:{tap_name}", mac=MAC, delivery=delivery) as nic:
        task = asyncio.create_task(anext(nic))
        await asyncio.sleep(0)
        delete(tap_name)
        await lost(nic)
        rounds = 0

        async def sender() -> None:
            nonlocal rounds
            while not nic.send(frame(b"\xff" * 6, 1)):
                await nic.writable()
                rounds += 1

        sending = asyncio.create_task(sender())
        await asyncio.wait({sending}, timeout=0.1)
        assert not sending.done()
        assert rounds == 0
        make_tap(tap_name)
        await sending
        assert nic.device_up
        task.cancel()


@DELIVERIES
async def test_a_deletion_is_noticed_while_a_stack_holds_a_burst(tap_name: str, wire: Wire, delivery: str) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, rx_ring=4, delivery=delivery) as nic:
        wire.send(*(frame(MAC, i) for i in range(20)))
        burst = await anext(nic)
        delete(tap_name)
        await lost(nic)
        assert len(burst) > 0
        assert nic.ledger().imbalance == 0


@DELIVERIES
async def test_frames_of_every_lane_outlive_the_loss_of_the_tap(tap_name: str, delivery: str) -> None:
    subprocess.run(["ip", "tuntap", "add", tap_name, "mode", "tap", "multi_queue"], check=True)
    subprocess.run(["sysctl", "-qw", f"net.ipv6.conf.{tap_name}.disable_ipv6=1"], check=True)
    subprocess.run(["ip", "link", "set", tap_name, "up"], check=True)
    knobs = Knobs(lane=("high=ether:0x88b6",), rx_budget=16)
    async with asyncio.timeout(20), open_nic(f"tap:{tap_name}", mac=MAC, delivery=delivery, knobs=knobs) as nic:
        wire = Wire(tap_name)
        wire.send(*(frame(MAC, i) for i in range(10)))
        seen: list[int] = []
        async for burst in nic:
            seen += [number_of(octets) for octets in itertools.islice(burst, 3)]
            break
        wire.close()
        delete(tap_name)
        async for burst in nic:
            seen += [number_of(octets) for octets in burst]
            if len(seen) == 10:
                break
        assert seen == list(range(10))
        waiting = asyncio.create_task(anext(nic))
        await lost(nic)
        make_tap(tap_name)
        while not nic.device_up:
            await asyncio.sleep(0.01)
        assert_law(nic, offered=10)
        assert nic.ledger().delivered == 10
        waiting.cancel()


@DELIVERIES
async def test_replies_to_what_the_ring_held_at_the_stop_go_out(tap_name: str, wire: Wire, delivery: str) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, delivery=delivery) as nic:
        wire.send(*(frame(MAC, i) for i in range(8)))
        while nic.ledger().offered < 8:
            burst = await anext(nic)
            burst.taken = 0
        assert nic.send(frame(b"\xff" * 6, 100))
        nic.stop()
        replies = 1
        async for octets in nic.frames():
            assert nic.send(frame(b"\xff" * 6, number_of(octets)))
            replies += 1
        assert replies == 9
    assert [number_of(wire.receive()) for _ in range(9)] == [100, *range(8)]
    assert nic.counters.transmitted_frames == replies
    assert not any(nic.transmit_errors.values())


@DELIVERIES
@pytest.mark.parametrize("said", [17, -1, 10**30, "all", None, 3.0])
async def test_what_a_stack_says_of_a_burst_is_checked(tap_name: str, wire: Wire, delivery: str, said: Any) -> None:
    knobs = Knobs(rx_budget=16)
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, delivery=delivery, knobs=knobs) as nic:
        wire.send(*(frame(MAC, i) for i in range(16)))
        burst = await anext(nic)
        burst.taken = said
        assert nic.ledger().imbalance == 0
        with pytest.raises(ValueError, match=r"^burst.taken is "):
            await anext(nic)
        assert nic.ledger().imbalance == 0
        wire.send(frame(MAC, 16))
        async for octets in nic.frames():
            if number_of(octets) == 16:
                break
        assert_law(nic, offered=17)


@DELIVERIES
async def test_a_stack_that_said_nothing_and_failed_has_taken_nothing(tap_name: str, wire: Wire, delivery: str) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, delivery=delivery) as nic:
        wire.send(frame(MAC, 0), frame(MAC, 1))
        await anext(nic)
        nic.abandon_burst()
        assert nic.ledger().delivered == 0
        found: list[int] = []
        async for octets in nic.frames():
            found.append(number_of(octets))
            if len(found) == 2:
                break
        assert found == [0, 1]
        assert_law(nic, offered=2)


async def test_a_burst_in_hand_at_the_close_that_nobody_looked_at_stays_in_flight(tap_name: str, wire: Wire) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        wire.send(frame(MAC, 0), frame(MAC, 1))
        assert len(await anext(nic)) == 2
    assert (nic.ledger().delivered, nic.ledger().in_flight, nic.ledger().imbalance) == (0, 2, 0)


async def test_a_watcher_that_raises_is_logged_and_costs_no_frame(
    tap_name: str, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC) as nic:

        def watcher(burst: Burst) -> None:
            raise ZeroDivisionError

        nic.watch(watcher)
        wire.send(frame(MAC, 5))
        assert [number_of(octets) for octets in await anext(nic)] == [5]
        assert "what watched the bursts failed" in caplog.text


@pytest.fixture
def flood(tap_name: str, wire: Wire) -> Iterator[None]:
    """Frames without end, faster than anybody takes them."""
    sender = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((sys.argv[1], 0))\n"
        "f = bytes.fromhex(sys.argv[2])\n"
        "for _ in range(20_000_000):\n"
        "    try:\n        s.send(f)\n    except OSError:\n        pass\n"
    )
    with subprocess.Popen(["python3", "-c", sender, tap_name, frame(MAC, 1).hex()]) as process:
        yield
        process.kill()


@asynccontextmanager
async def flooded(tap_name: str, delivery: str) -> AsyncIterator[Nic]:
    async with asyncio.timeout(20), open_nic(f"tap:{tap_name}", mac=MAC, delivery=delivery) as nic:
        yield nic


@DELIVERIES
@pytest.mark.usefixtures("flood")
async def test_whoever_has_no_patience_gets_somewhere_all_the_same(tap_name: str, delivery: str) -> None:
    async with flooded(tap_name, delivery) as nic:
        frames = attempts = 0
        while frames < 100:
            attempts += 1
            try:
                burst = await asyncio.wait_for(anext(nic), 0.0005)
            except TimeoutError:
                continue
            frames += sum(1 for _ in burst)
        assert nic.ledger().delivered == frames
        assert nic.ledger().imbalance == 0
