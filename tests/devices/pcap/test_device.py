"""A capture as a wire, through the nic and through the whole service: every frame in the ledger, twice the same."""

import json
from pathlib import Path

import pytest

from asyncnic import pcapng
from asyncnic.errors import DeviceError
from asyncnic.nic.ledger import Ledger
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.stacks.inet import wire as frames
from tests.system.service import HOST, MAC, asyncnic, imbalance, program

OWN = bytes.fromhex(MAC.replace(":", ""))
TRACE = [
    frames.arp(1, frames.PEER, frames.HOST),
    frames.ipv4(1, frames.echo4(b"x" * 56)),
    frames.udp4(b"hello"),
    frames.udp4(b"hello", port=4),
    b"\x02\0\0\0\0\x77" + OWN + b"\x88\xb5" + bytes(46),
]


def capture(path: Path, packets: list[bytes]) -> Path:
    path.write_bytes(
        pcapng.section_header("test") + pcapng.interface("eth0") + b"".join(pcapng.packet(0, one) for one in packets)
    )
    return path


async def replayed(path: Path, knobs: Knobs, delivery: str, ring: int) -> tuple[list[bytes], Ledger]:
    """The frames that a stack gets of a capture, and the ledger after its end."""
    async with open_nic(f"pcap:{path}", mac=OWN, knobs=knobs, delivery=delivery, rx_ring=ring) as nic:
        seen = [bytes(frame) async for burst in nic for frame in burst]
        return seen, nic.ledger()


@pytest.mark.parametrize("delivery", ["direct", "queue"])
@pytest.mark.parametrize("overload", ["leave", "drain"])
@pytest.mark.parametrize("busy_poll", [0.0, 0.001])
async def test_iteration_ends_with_the_file_and_every_frame_is_in_the_ledger(
    delivery: str, overload: str, busy_poll: float, tmp_path: Path
) -> None:
    path = capture(tmp_path / "trace", TRACE * 50)
    seen, ledger = await replayed(path, Knobs(overload=overload, busy_poll=busy_poll), delivery, 8)
    assert ledger.imbalance == ledger.in_flight == 0
    assert ledger.offered == 250
    if overload == "leave":
        assert (ledger.filtered, ledger.delivered) == (50, 200)
    assert len(seen) == ledger.delivered
    assert (seen, ledger) == await replayed(path, Knobs(overload=overload, busy_poll=busy_poll), delivery, 8)


async def test_frames_of_any_length_end_in_the_ledger(tmp_path: Path) -> None:
    path = capture(tmp_path / "trace", [OWN * 1000, b"", b"\0", OWN + bytes(2), OWN + bytes(1600), *TRACE])
    _, ledger = await replayed(path, Knobs(), "direct", 8)
    assert (ledger.imbalance, ledger.in_flight, ledger.offered) == (0, 0, len(TRACE) + 4)
    assert ledger.dropped_total == 2


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file"), (b"", "is no capture"), (b"\xff" * 99, "is neither pcap nor pcapng")],
)
async def test_what_cannot_be_read_is_one_line(content: bytes | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DeviceError, match=rf"pcap:.*trace: {why}"):
        async with open_nic(f"pcap:{path}"):
            pass


def run(path: Path, *flags: str) -> tuple[int, dict[str, int], str]:
    """`asyncnic run` on a capture: exit code, last ledger, log."""
    device = ("--device", f"pcap:{path}", "--mac", MAC, "--address", f"{HOST}/24", "--host-address", "")
    done = asyncnic("run", *device, "--listen", "127.0.0.1:0", "--control", "", *flags)
    ledgers = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return done.returncode, ledgers[-1] if ledgers else {}, done.stderr


def test_the_service_ends_with_the_file_and_says_the_same_twice(tmp_path: Path) -> None:
    path = capture(tmp_path / "trace", TRACE)
    first, second = run(path), run(path)
    code, ledger, log = first
    assert code == 0, log
    assert (ledger["offered"], ledger["delivered"], ledger["filtered"], imbalance(ledger)) == (5, 4, 1, 0)
    assert (code, ledger) == second[:2]


def test_a_capture_of_a_neighbours_tool(tmp_path: Path) -> None:
    """Made by text2pcap, cut by editcap to another format and back."""
    text = "".join(f"000000 {frame.hex(' ')}\n" for frame in TRACE)
    program("text2pcap", "-q", "-F", "pcap", "-", str(tmp_path / "one"), input=text)
    program("editcap", "-F", "pcapng", str(tmp_path / "one"), str(tmp_path / "two"))
    for path in (tmp_path / "one", tmp_path / "two"):
        code, ledger, log = run(path, "--service", "udp-echo:7")
        assert (code, ledger["delivered"], imbalance(ledger)) == (0, 4, 0), log


def test_a_file_that_is_cut_gives_what_is_whole_and_says_so(tmp_path: Path) -> None:
    path = capture(tmp_path / "trace", TRACE)
    path.write_bytes(path.read_bytes()[:-3])
    code, ledger, log = run(path)
    assert (code, ledger["offered"]) == (0, 4)
    assert "the capture was not read whole" in log


def test_it_needs_no_privilege(tmp_path: Path) -> None:
    path = capture(tmp_path / "trace", TRACE)
    flags = ("--device", f"pcap:{path}", "--mac", MAC, "--host-address", "", "--listen", "127.0.0.1:0", "--control", "")
    done = asyncnic("run", *flags, prefix=("unshare", "--user", "--map-user=1000"))
    assert done.returncode == 0, done.stderr
    assert "running as root" not in done.stderr
