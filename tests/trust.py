"""The table of what is survived: fault or attack, how often it was tried, what it cost; printed by `pytest --trust`.

A row is made of the tests that it names. What each costs is measured around it: descriptors that it leaves open, and
frames that the ledgers which it made or read do not account for (`account`); how long a way back took, inside it
(`recovering`). A test may say more by itself (`record_property`: "tried", and the same names); else a run is one try.

"-" is where nothing can be measured: frames, of what has no ledger (segments between two hosts without a wire, HTTP,
files); a time, of what is not taken away and given back: an attack that is refused has nothing to recover from.
Nothing is filled in by hand. A test that fails is a crash. test_trust.py holds that every named test is there.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

_LAW = "tests/faults/test_law.py::test_the_law_holds_under_every_fault"
_LOSS = "tests/devices/test_losses.py::test_the_law_holds_over_a_loss"
_TCP = "tests/stacks/inet/tcp/test_failures.py::test_"
_NEAR = "tests/stacks/inet/test_neighbours.py::test_"
_READ = "tests/service/workers/test_readings.py::test_"
_LIFE = "tests/system/test_life.py::test_"
_FUZZ = "tests/fuzz/test_fuzz.py::test_"

ROWS: dict[str, str] = {
    **{f"frames: {name}": rf"{_LAW}\[.*-{name}=[^+]*-(direct|queue)" for name in ("drop", "corrupt", "truncate")},
    **{
        f"frames: {name}": rf"{_LAW}\[.*-{name}=[^+]*-(direct|queue)"
        for name in ("duplicate", "delay", "reorder", "rate")
    },
    **{f"descriptors: {name}": rf"{_LAW}\[.*-{name}=[^+]*-(direct|queue)" for name in ("garbage", "keep", "late")},
    **{f"chip: {name}": rf"{_LAW}\[.*-{name}=[^+]*-(direct|queue)" for name in ("gone", "stop", "mute", "spurious")},
    "many faults at once": rf"{_LAW}\[.*\+",
    "no interrupt ever": r"tests/faults/test_repairs.py::test_frames_come_though_no_interrupt_ever_does",
    "a chip that stops on a silent wire": r"tests/faults/test_repairs.py::test_a_chip_that_stops_itself",
    **{f"{device} deleted": rf"{_LOSS}\[.*{device}-deleted" for device in ("tap", "macvtap", "qemu")},
    **{f"{device} moved away": rf"{_LOSS}\[.*{device}-moved" for device in ("tap", "macvtap", "qemu")},
    **{f"{device} set down": rf"{_LOSS}\[.*{device}-down" for device in ("tap", "macvtap", "qemu")},
    "QEMU killed": rf"{_LOSS}\[.*qemu-killed",
    "QEMU stopped": rf"{_LOSS}\[.*qemu-stopped",
    "lanes' TAP deleted": rf"{_LOSS}\[.*tap with lanes-deleted",
    "interface of packet: goes": r"tests/devices/packet/test_device.py::test_an_interface_that_goes",
    "a worker dies in a flood": rf"{_READ}a_death_under_a_flood",
    "a worker stands still": rf"{_READ}a_worker_that_stands_still",
    "all workers die": rf"{_READ}with_all_workers_dead",
    "the workers' TAP deleted": rf"{_READ}a_tap_deleted_under_a_flood",
    "the service killed": rf"{_LIFE}a_killed_service_starts_again",
    "a stack that raises": rf"{_LIFE}a_stack_that_raises_now_and_then",
    "a stack that gets nowhere": rf"{_LIFE}a_stack_that_never_gets_anywhere",
    "a loop that stands still": r"tests/service/test_stalls.py::test_a_loop_that_stands_still",
    "hostile sources, flows, peers": r"tests/service/test_ceilings.py::test_no_container_outgrows",
    "ARP and ND: strangers": rf"{_NEAR}strangers_do_not_enter",
    "ARP and ND: a flood of newcomers": rf"{_NEAR}newcomers_do_not_push_out",
    "ARP and ND: addresses nobody has": rf"{_NEAR}addresses_that_nobody_has",
    "fragments: endless first pieces": r"tests/stacks/inet/test_ipv4.py::test_the_reassembly_table_is_bounded",
    "fragments: overlaps": r"tests/stacks/inet/test_fragments.py::test_(an_overlap|a_repetition|contradictions)",
    "echo loops": r"tests/stacks/inet/test_services.py::test_(an_echo_does_not|two_echoes)",
    "SYN flood, answered by cookies": rf"{_TCP}(05_a_syn|10_a_syn_beyond)",
    "SYN flood with resets": rf"{_TCP}04_ten_thousand",
    "handshakes that never end": rf"{_TCP}02_embryos",
    "blind resets, SYNs, data": rf"{_TCP}blind_",
    "ICMP against connections": rf"{_TCP}(icmp_does|a_path_mtu)",
    "octets one by one": rf"{_TCP}06_",
    "closed windows": rf"{_TCP}07_",
    "a million duplicate ACKs": rf"{_TCP}08_a_million",
    "connections opened and closed": rf"{_TCP}14_thousands",
    "a wire that loses TCP's segments": r"tests/stacks/inet/tcp/test_hostile.py::test_whatever",
    "noise of every kind on a TAP": r"tests/system/test_noise.py::test_noise_is_survived",
    "scanners": r"tests/system/test_scanners.py::test_",
    "HTTP: silent connections": r"tests/web/test_listener.py::test_(probes_get_through|a_connection_that_asks)",
    "HTTP: passwords by the thousand": r"tests/web/test_security.py::test_passwords_that_wait",
    "HTTP: foreign hosts and origins": r"tests/web/test_guard.py::test_a_(foreign_host|page_of)",
    "a crowd at 96 MiB": r"tests/system/test_memory.py::test_a_crowd",
    "whatever schemathesis asks": r"tests/web/test_openapi.py::test_whatever",
    "a minute of everything": r"tests/bench/test_soak.py::test_a_minute",
    **{
        f"fuzzed: {name}": rf"{_FUZZ}.*\[{name}\]"
        for name in (
            "inet",
            "tcp",
            "fragments",
            "descriptors",
            "chip",
            "capture",
            "settings",
            "web config",
            "rules",
            "answers",
            "http",
        )
    },
}
"""What is in the table, and which tests show it: a pattern of their names."""


@dataclass
class _Cost:
    ledgers: dict[object, Callable[[], int]] = field(default_factory=dict)
    recoveries: list[float] = field(default_factory=list)


_running: list[_Cost] = []
"""Of the test that is measured, if one is."""


def account(key: object, unaccounted: Callable[[], int]) -> None:
    """Have a test answer at its end for the ledger of `key`: how many frames it does not account for."""
    for cost in _running:
        cost.ledgers[key] = unaccounted


@contextmanager
def recovering() -> Iterator[None]:
    """The body is a way back: from what was lost being there again, or repaired, to frames being served."""
    begun = time.monotonic()
    yield
    for cost in _running:
        cost.recoveries.append(time.monotonic() - begun)


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """What the test in the body costs; filled when it has ended."""
    found: dict[str, float] = {}
    before = open_descriptors()
    _running[:] = [cost := _Cost()]
    try:
        yield found
    finally:
        _running.clear()
    found["leaks"] = max(0, open_descriptors() - before)
    if cost.ledgers:
        found["unaccounted"] = sum(abs(unaccounted()) for unaccounted in cost.ledgers.values())
    if cost.recoveries:
        found["recovery"] = max(cost.recoveries)


def open_descriptors() -> int:
    """But for those of QEMU's memory, whose map goes with the last view of it: a captured log may hold one."""
    there = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return sum(1 for path in there if os.path.lexists(path) and "asyncnic-ram" not in os.readlink(path))


def is_named(test: str) -> bool:
    """Whether a row is made of this test among others."""
    return any(re.match(pattern, test) for pattern in ROWS.values())


@dataclass
class Row:
    """What the tests of one row have shown."""

    tried: int = 0
    crashes: int = 0
    measured: dict[str, float] = field(default_factory=dict)

    def add(self, failed: bool, properties: Iterable[tuple[str, object]]) -> None:
        """One test's end. Of what it measured, frames and leaks add up; of recoveries the longest counts."""
        found = {name: float(str(value)) for name, value in properties}
        self.tried += int(found.pop("tried", 1))
        self.crashes += failed
        for name, value in found.items():
            before = self.measured.get(name, 0.0)
            self.measured[name] = max(before, value) if name == "recovery" else before + value


def table(ended: Sequence[tuple[str, bool, Iterable[tuple[str, object]]]]) -> list[str]:
    """The table's lines.

    Args:
        ended: of each test its name, whether it failed, and what it measured.
    """
    heads = ("fault or attack", "tried", "unaccounted", "crashes", "leaks", "recovery")
    lines = [heads]
    for name, pattern in ROWS.items():
        row, matches = Row(), re.compile(pattern).match
        for test, failed, properties in ended:
            if matches(test):
                row.add(failed, properties)
        if row.tried:
            frames, leaks, seconds = (row.measured.get(key) for key in ("unaccounted", "leaks", "recovery"))
            shown = "-" if seconds is None else f"{seconds * 1000:.0f} ms"
            lines.append((name, str(row.tried), _whole(frames), str(row.crashes), _whole(leaks), shown))
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
