"""Our driver on a PCI NIC, in a guest of QEMU with Debian's kernel: bound, run, flooded, killed, and given back.

One guest for all, since it takes ten seconds to boot; each test leaves the card as it found it, with Linux's own
driver.
"""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncnic.bench.guest.guest import NIC_ADDRESS, GuestError
from asyncnic.bench.guest.image import build_image
from asyncnic.bench.guest.kernel import installed
from asyncnic.bench.guest.lab import ADDRESS, Lab
from asyncnic.bench.guest.python_tree import program_entries
from asyncnic.bench.guest_experiments import measure_tcp, measure_udp, show_tcp, show_udp
from asyncnic.errors import DeviceError

FLOOD = 20_000
CONFIG = f"/sys/bus/pci/devices/{NIC_ADDRESS}/config"


@pytest.fixture
def lab(booted: Lab) -> Iterator[Lab]:
    """The guest; what a failed test left running in it is ended."""
    yield booted
    booted.guest.run("killall -q -9 python3 iperf3; sleep 0.2")


@pytest.fixture(scope="module")
def booted() -> Iterator[Lab]:
    iperf3 = shutil.which("iperf3")
    assert iperf3 is not None
    with Lab(files=list(program_entries([Path(iperf3)]))) as lab:
        yield lab


def pings(count: int = 5) -> int:
    """How many of `count` pings are answered."""
    command = ["ping", "-c", str(count), "-i", "0.2", "-W", "5", ADDRESS]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return int(output.partition(" received")[0].rpartition(" ")[2])


def flood(count: int = FLOOD) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((ADDRESS, 7))
        for _ in range(count):
            try:
                sender.send(b"flood" * 4)
            except ConnectionRefusedError:
                continue  # an answer of the guest to an earlier one


def master(lab: Lab) -> bool:
    """Whether the card may master the bus."""
    return bool(int(lab.guest.check(f"od -An -tu2 -j4 -N2 {CONFIG}")) & 4)


def kernel_log(lab: Lab) -> str:
    return lab.guest.check("dmesg")


def test_output_and_exit_code_come_back(lab: Lab) -> None:
    assert lab.guest.run("echo one; echo two >&2; exit 3").code == 3
    assert lab.guest.run("echo one; echo two >&2").output == "one\ntwo\n"
    lab.guest.put("/tmp/octets", bytes(range(256)) * 20)
    assert lab.guest.check("wc -c </tmp/octets") == "5120\n"
    with pytest.raises(GuestError, match="exit code 1"):
        lab.guest.check("false")


def test_our_driver_answers_and_gives_the_card_back(lab: Lab) -> None:
    lab.use_kernel_driver()
    assert pings() == 5
    lab.start_service("--rx-ring 64", "--service udp-echo:7")
    assert pings() == 5
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect((ADDRESS, 7))
        client.send(b"hello")
        assert client.recv(100) == b"hello"
    assert master(lab)
    capabilities = lab.guest.check(f"cat /proc/{lab.service}/task/*/status | grep CapEff | sort -u")
    assert capabilities.split() == ["CapEff:", "0" * 16]
    found = lab.stop_service()
    assert found["device"]["chip"] == "Am79C970A"
    assert not master(lab)
    lab.use_kernel_driver()
    assert pings() == 5


def test_a_flood_is_accounted_for_to_the_frame(lab: Lab) -> None:
    lab.start_service("--rx-ring 64", "--service udp-discard:7")
    read, dropped = lab.wire()
    flood()
    end = time.monotonic() + 30.0
    while sum(lab.wire()) < read + dropped + FLOOD:  # what still waits in the TAP's queue is flood
        assert time.monotonic() < end
        time.sleep(0.01)
    assert pings() == 5
    found = lab.stop_service()
    now_read, now_dropped = lab.wire()
    offered = now_read - read
    assert found["offered"] == offered
    assert found["offered"] == found["delivered"] + found["in_flight"] + sum(found["dropped"].values())
    assert offered + now_dropped - dropped >= FLOOD


def test_killed_in_a_flood_it_leaves_the_bus_alone_and_starts_again(lab: Lab) -> None:
    lab.start_service("--rx-ring 64")
    flood(2000)
    lab.guest.check(f"kill -9 {lab.service}; while [ -d /proc/{lab.service} ]; do sleep 0.1; done")
    flood(2000)
    assert not master(lab)
    assert lab.guest.check("grep HugePages_Free /proc/meminfo").split()[1] == "8"
    lab.start_service("--rx-ring 32")
    assert pings() == 5
    lab.stop_service()
    log = kernel_log(lab)
    assert "nobody cared" not in log
    assert "BUG" not in log
    assert "Oops" not in log


def test_an_ordinary_program_is_served_through_the_kernel_stack(lab: Lab) -> None:
    """iperf3, whose server knows nothing of us, behind our driver."""
    lab.start_service("--stack kernel", "--rx-ring 128", "--rx-time-budget 20ms")
    lab.guest.check(f"iperf3 -s -1 -D --logfile /tmp/iperf3.log -B {ADDRESS}; sleep 1")
    command = ["iperf3", "-c", ADDRESS, "-n", "3M", "-J", "--connect-timeout", "20000"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert report["end"]["sum_sent"]["bytes"] >= 3_000_000
    assert report["end"]["sum_received"]["bytes"] > 1_000_000  # what had arrived when the client said that it was done
    stack = lab.stop_service()["stack"]["kernel"]
    assert stack["handed"] > 700
    assert stack["refused"] == 0


def test_the_preflight_says_what_is_missing(lab: Lab) -> None:
    lab.use_kernel_driver()
    result = lab.guest.run(f"asyncnic check --device uio:{NIC_ADDRESS}")
    assert result.code == 4
    assert f"asyncnic bind {NIC_ADDRESS}" in result.output
    result = lab.guest.run(f"asyncnic run --device uio:{NIC_ADDRESS}")
    assert result.code == 4
    assert result.output.count("\n") == 1
    assert f"asyncnic bind {NIC_ADDRESS}" in result.output


def test_the_experiments_account_for_every_datagram(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    result = measure_udp(lab, packets=20_000, seconds=1.0, runs=1)
    for name, (run,) in result["systems"].items():
        # QEMU gives a descriptor back before it has written ENP: our driver waits for that, Linux's takes what it sees
        # in between for a broken frame, and such a one it does not count.
        assert 0 <= run["uncounted"] <= (20 if name.startswith("kernel") else 0), (name, run)
        assert run["received"] > 0
    show_udp(result)
    assert "68,174" in capsys.readouterr().out


def test_the_stream_arrives_whole_by_every_driver(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    result = measure_tcp(lab, octets=3_000_000, runs=1)
    assert [run["octets"] for (run,) in result["systems"].values()] == [3_000_000] * 4
    show_tcp(result)
    assert "2.6" in capsys.readouterr().out


def test_without_a_kernel_the_error_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="linux-image-amd64"):
        installed(tmp_path)


def test_the_image_is_built_once(lab: Lab) -> None:
    image = build_image()
    made = image.root.stat().st_mtime_ns
    assert build_image() == image
    assert image.root.stat().st_mtime_ns == made
