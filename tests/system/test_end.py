"""SIGTERM ends the service within its bound and with its ledger, whatever its stack does or leaves behind."""

import json
import signal
from pathlib import Path

import pytest

from asyncnic.service.engine import DRAIN_SECONDS
from asyncnic.service.service import SPARE_SECONDS
from asyncnic.service.supervisor import PATIENCE
from tests.system.service import HOST, Run, imbalance, program, wait_until

BOUND = DRAIN_SECONDS + PATIENCE + SPARE_SECONDS + 2.0  # and two for a machine that is busy
STACKS = """
import asyncio, time

async def swallows_cancellation(nic):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def waits_for_ever(nic):
    async for burst in nic:
        await asyncio.Event().wait()

async def leaves_a_thread_behind(nic):
    await asyncio.to_thread(time.sleep, 3600)

async def leaves_a_task_behind(nic):
    tasks = [asyncio.create_task(swallows_cancellation(nic))]
    async for burst in nic:
        pass

async def never_gives_the_loop_back(nic):
    async for burst in nic:
        while True:
            pass

async def sleeps_for_ever(nic):
    async for burst in nic:
        time.sleep(3600)
"""
OBEYED = ("swallows_cancellation", "waits_for_ever", "leaves_a_thread_behind", "leaves_a_task_behind")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("stack", [*OBEYED, "never_gives_the_loop_back", "sleeps_for_ever"])
def test_sigterm_ends_the_service_with_its_ledger(run: Run, tmp_path: Path, loop: str, stack: str) -> None:
    (tmp_path / "mine.py").write_text(STACKS)
    with run("--loop", loop, "--stack", f"mine:{stack}", cwd=tmp_path) as service:
        program("ping", "-n", "-c", "1", "-W", "1", HOST, codes=(1,))
        service.process.send_signal(signal.SIGTERM)
        code = service.process.wait(BOUND)
        assert code == (0 if stack in OBEYED else 1), service.log
        (ledger,) = (json.loads(line) for line in service.log.splitlines() if line.startswith("{"))
        assert imbalance(ledger) == 0
        assert "Traceback" not in service.log


BEAT = '''
import asyncio

class Beat(asyncio.DatagramProtocol):
    """Sends all the time, and more than the ring holds."""

    def connection_made(self, transport):
        self.transport = transport
        self.send()

    def send(self):
        for number in range(100):
            self.transport.sendto(b"beat", ("192.0.2.1", 9))
        asyncio.get_running_loop().call_later(0.01, self.send)
'''


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("delivery", ["direct", "queue"])
def test_an_application_that_sends_while_the_device_is_lost(
    run: Run, tmp_path: Path, tap_name: str, loop: str, delivery: str
) -> None:
    (tmp_path / "beat.py").write_text(BEAT)
    flags = ("--loop", loop, "--delivery", delivery, "--service", "beat:Beat:9000")
    with run(*flags, cwd=tmp_path) as service:
        wait_until(lambda: service.stats()["transmitted_frames"] > 100, "it sends")
        program("ip", "link", "del", tap_name)
        wait_until(lambda: not service.stats()["device"]["up"], "the loss is noticed, and HTTP answers")
        service.tap_is_gone()
        program("ip", "tuntap", "add", tap_name, "mode", "tap")
        program("ip", "addr", "add", "192.0.2.1/24", "dev", tap_name)
        program("ip", "link", "set", tap_name, "up")
        wait_until(lambda: service.stats()["device"]["up"], "it comes back")
        sent = service.stats()["transmitted_frames"]
        wait_until(lambda: service.stats()["transmitted_frames"] > sent + 100, "it sends again")
        program("ip", "link", "del", tap_name)
        wait_until(lambda: not service.stats()["device"]["up"], "the loss is noticed again")
        service.terminate()
