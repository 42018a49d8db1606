"""`asyncnic run --workers 2` as its users have it: floods, deaths, scrapes, other people's programs, the end."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.system.service import (
    HOST,
    HOST6,
    PATIENCE,
    Run,
    Service,
    add_ipv6,
    asyncnic,
    imbalance,
    ledger_of,
    program,
    wait_until,
)

TWO = ("--workers", "2", "--service", "udp-echo:7", "--service", "udp-discard:9")


def flood(count: int, rate: int) -> "subprocess.Popen[bytes]":
    """Offer `count` datagrams over 64 flows in a process of its own."""
    command = [sys.executable, "-m", "asyncnic.bench.load", HOST, "--flows", "64"]
    return subprocess.Popen([*command, "--count", str(count), "--rate", str(rate)], stdout=subprocess.DEVNULL)


def quiet(service: Service) -> dict[str, Any]:
    """The statistics once frames have stopped coming."""

    def look() -> dict[str, Any] | None:
        before, after = service.stats(), service.stats()
        return after if before["offered"] == after["offered"] and not after["in_flight"] else None

    wait_until(look, "no more frames")
    return service.settled()


def workers_of(service: Service) -> list[int]:
    """The workers' process identifiers."""
    return [int(pid) for pid in program("pgrep", "-P", str(service.process.pid), codes=(0, 1)).split()]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_flood_over_many_flows_is_accounted_for_to_the_frame(run: Run, loop: str) -> None:
    with run(*TWO, "--loop", loop) as service:
        program("ping", "-n", "-q", "-c", "1", HOST)
        sender = flood(60_000, 60_000)
        while sender.poll() is None:
            reading = service.stats()
            assert imbalance(reading) == 0, ledger_of(reading)
        stats = quiet(service)
        assert stats["offered"] >= 60_000
        assert stats["stack"]["udp"]["delivered"] + stats["dropped"]["kernel"] >= 60_000
        assert stats["workers"] == {"count": 2, "restarts": 0}


def test_a_worker_killed_under_load_is_replaced_and_the_law_holds(run: Run) -> None:
    with run(*TWO) as service:
        program("ping", "-n", "-q", "-c", "1", HOST)
        sender = flood(60_000, 30_000)
        wait_until(lambda: service.stats()["delivered"] > 5000, "frames delivered")
        os.kill(workers_of(service)[0], signal.SIGKILL)
        last = 0
        while sender.poll() is None:
            reading = service.stats()
            assert imbalance(reading) == 0, ledger_of(reading)
            assert reading["delivered"] >= last
            last = reading["delivered"]
        wait_until(lambda: service.stats()["ready"], "ready again")
        assert service.stats()["workers"] == {"count": 2, "restarts": 1}
        assert "a worker ended" in service.log
        wait_until(lambda: service.stats()["in_flight"] == 0, "nothing in flight")
        first, second = service.stats(), service.stats()
        assert first["offered"] == second["offered"]
        driver = second["dropped_by_reason"]["driver"]
        assert driver["worker_lost"] == second["dropped"]["driver"]
        accounted = second["delivered"] + second["filtered"] + sum(second["dropped"].values())
        assert second["offered"] == accounted
        assert sum(workers_of(service)) > 0
        # The dead worker's stack took its outcomes along: they sum to what was delivered all the same.
        assert sum(sum(ends.values()) for ends in second["stack"].values()) == second["delivered"]


def test_a_scrape_has_every_series_once(run: Run) -> None:
    with run(*TWO) as service:
        program("ping", "-n", "-q", "-c", "2", "-i", "0.2", HOST)
        status, text = service.ask("/metrics")
        assert status == 200
        series = Counter(
            (sample.name, *sorted(sample.labels.items()))
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )
        assert [one for one, count in series.items() if count > 1] == []
        found = {name: value for (name, *_), value in series.items()}
        assert {"asyncnic_delivered_frames_total", "asyncnic_workers", "asyncnic_worker_restarts_total"} <= found.keys()


def test_other_peoples_programs_reach_every_worker(run: Run) -> None:
    """Each netcat is a flow of its own, so they come to both workers, each of which must know the neighbour."""
    both = ("--address", f"{HOST}/24", "--address", f"{HOST6}/64")
    with run(*TWO, *both) as service:
        add_ipv6(service.tap)
        for address in (HOST, HOST6) * 4:
            assert program("nc", "-u", "-w", "1", address, "7", input="hello\n") == "hello\n"
        quiet(service)


def test_what_belongs_to_one_process_says_so(run: Run) -> None:
    with run(*TWO) as service:
        refused = asyncnic("capture", "--control", service.control, "-")
        assert "frames can be captured with --workers 1 only" in refused.stderr
        for path in ("/api/v1/ring", "/api/v1/regs"):
            assert service.ask(path)[0] == 200


def test_a_tap_of_ones_own_needs_no_capability(run: Run, tap_name: str) -> None:
    program("ip", "tuntap", "add", tap_name, "mode", "tap", "multi_queue", "user", str(os.getuid()))
    program("ip", "address", "add", "192.0.2.1/24", "dev", tap_name)
    program("ip", "link", "set", tap_name, "up")
    with run(*TWO, prefix=("unshare", "--user", "--map-user=1000")) as service:
        assert "one lane" in service.log
        program("ping", "-n", "-q", "-c", "1", "-W", "5", HOST)
        assert flood(2000, 5000).wait(PATIENCE) == 0
        stats = quiet(service)
        assert list(stats["lanes"]) == ["bulk"]
        assert stats["delivered"] > 2000


def test_a_reload_reaches_every_worker(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text("rx_budget = 32\n")
    with run(*TWO, "--config", str(config)) as service:
        config.write_text("rx_budget = 1\n")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.stats()["settings"]["rx_budget"] == 1, "reloaded")
        before = service.stats()
        sender = flood(1000, 5000)
        assert sender.wait(PATIENCE) == 0
        stats = quiet(service)
        bursts = stats["bursts"] - before["bursts"]
        assert bursts == stats["delivered"] - before["delivered"]


def test_the_workers_end_with_a_service_that_was_killed(run: Run) -> None:
    with run(*TWO) as service:
        workers = workers_of(service)
        assert len(workers) == 2
        service.kill()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers are gone")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--device", "qemu:q0"), "--workers 2: only a TAP has queues to share: use --device tap:NAME"),
        (("--shed", "udp:9"), "--shed udp:9: needs --workers 1"),
        (("--lane-queue", "bulk=9"), "--lane-queue bulk=9: needs --workers 1"),
        (("--stack", "kernel"), "--workers 2: --stack kernel has one TAP to write to: use --workers 1"),
    ],
)
def test_what_cannot_be_shared_is_refused(flags: tuple[str, ...], line: str) -> None:
    ended = asyncnic("run", "--workers", "2", *flags)
    assert (ended.returncode, ended.stderr) == (2, f"asyncnic: {line}\n")
