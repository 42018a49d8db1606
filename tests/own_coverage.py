"""Coverage read module by module: what each module's own tests run of it, whatever else runs it in passing.

A module that is only ever run on the way to something else is tested by nobody: its faults show elsewhere, late, and in
words of somebody else's. So `asyncnic/a/b.py` is read by `tests/a/test_b.py` alone, and where that is not how the thing
is best tested, `TOGETHER` says which tests are its own, and why.

As a plugin of pytest this notes which test file runs (`coverage run -m pytest -p tests.own_coverage`); as a program it
prints the table from what was noted, the lowest first, and fails where a module has no test file (`python -m
tests.own_coverage`). It asserts no percentage, and a program in C or in another process is not seen.
"""

import ast
import io
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE, TESTS = ROOT / "asyncnic", ROOT / "tests"

TOGETHER: dict[str, tuple[str, str]] = {
    "commands/*": ("test_cli.py", "a command parses, calls and prints, and is tested as it is typed"),
    "devices/__init__.py": ("devices/test_backends.py", "the table of the backends, held by what holds each of them"),
    "devices/backend.py": ("devices/test_backends.py", "what every backend declares"),
    "devices/macvtap/*": ("devices/macvtap/test_*.py", "a device is met through what the kernel does with its wire"),
    "devices/packet/*": ("devices/packet/test_*.py", "as macvtap: rings, filters and cutting meet real frames only"),
    "devices/pcap/*": ("devices/pcap/test_*.py", "the device is what reads the file"),
    "devices/qemu/*": ("devices/qemu/test_*.py", "as macvtap: a machine, its wire and its process are of no use alone"),
    "devices/tap/*": ("devices/tap/test_*.py", "as macvtap: lanes and queues are of one TAP"),
    "devices/uio/*": ("devices/uio/test_*.py", "as macvtap: a PCI function, its memory and its interrupt are one"),
    "faults/*": ("faults/test_*.py", "a fault is what a device, its driver and the ledger make of it together"),
    "hot/__init__.py": ("hot/test_compiled.py", "the choice between two twins, held by what holds them alike"),
    "linux/packet.py": ("devices/packet/test_*.py", "socket options, of which only a ring with frames shows anything"),
    "linux/tun.py": ("devices/tap/test_*.py", "as linux/packet.py, of a TAP"),
    "nic/delivery/*": ("nic/test_nic.py", "direct delivery is the nic's loop itself"),
    "nic/*": ("nic/test_*.py", "the parts of one state machine: each is one side of what the others do"),
    "pcnet32/csr_watch.py": ("devices/qemu/test_*.py", "what an access means is what a chip makes of it"),
    "pcnet32/memory.py": ("pcnet32/driver/test_*.py", "memory is right where the rings in it are"),
    "service/engine.py": ("service/test_s*.py", "what brings the parts together is tested by what they do together"),
    "service/observed.py": ("web/test_*.py", "what is shown of a service, tested by those who show it"),
    "settings/*": ("settings/test_settings.py", "one model: fields of it, and how they are given"),
    "stacks/kernel/__init__.py": ("stacks/test_choice.py", "a declaration, held by what reads it"),
    "stacks/inet/__init__.py": ("stacks/test_choice.py", "a declaration, held by what reads it"),
    "stacks/path.py": ("stacks/test_choice.py", "where the user's modules come from is what choosing asks"),
    "stacks/sink.py": ("stacks/test_choice.py", "three lines that take everything"),
    "stacks/stack.py": ("stacks/test_choice.py", "what every stack declares"),
    "stacks/ledger_page.py": ("stacks/inet/test_services.py", "one of the services"),
    "stacks/inet/host4.py": ("stacks/inet/test_*.py", "the layers of one family, put together"),
    "stacks/inet/host6.py": ("stacks/inet/test_*.py", "the layers of one family, put together"),
    "stacks/inet/packet.py": ("stacks/inet/test_ipv?.py", "the record that the two network layers hand up"),
    "stacks/inet/datagram_socket.py": ("stacks/inet/test_endpoint.py", "the socket that an endpoint shows"),
    "stacks/inet/socket_names.py": ("stacks/inet/test_endpoint.py", "what endpoints and streams both show"),
    "stacks/inet/watermarks.py": ("stacks/inet/test_endpoint.py", "one rule, held for each that has a write buffer"),
    "stacks/inet/tcp/*": ("stacks/inet/tcp/test_*.py", "a connection's parts, tested alone where they can be "
        "(test_parts.py), and by what two hosts or the RFC's clauses make of them"),
    "version.py": ("test_cli.py", "what --version prints"),
    "web/stats.py": ("web/test_*.py", "the document that every view of the service is made of"),
}  # fmt: skip
"""Modules by pattern, the first that matches: the tests that are theirs, as a pattern, and the reason."""
NOT_READ: dict[str, str] = {
    "__main__.py": "calls the command line; every test of a process runs it, in another process",
    "bench/*": "experiments are run whole, by tests that are heavy and not in the run that is read",
    "devices/device.py": "shapes without code: protocols and records",
    "errors.py": "classes without code",
    "hot/shadow.py": "one constant, for where Cython is not installed",
    "linux/netns.py": "entered once, before the first test and before anything is read",
    "pcnet32/port.py": "a shape without code",
    "nic/delivery/delivery.py": "a shape without code",
}
"""Modules by pattern that are not in the table, and the reason."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    measured = coverage.Coverage.current()
    if measured is not None:
        measured.switch_context(item.path.relative_to(TESTS).as_posix())
    return (yield)


def modules() -> list[str]:
    """Every module with code in it, as its path below the package."""
    return [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py")) if _has_code(path)]


def _has_code(path: Path) -> bool:
    """Whether there is more in it than what it says of itself."""
    return len(ast.parse(path.read_text()).body) > 1


def own_tests(module: str) -> list[str]:
    """The test files that are this module's own, as paths below tests/; none: nobody tests it."""
    path = Path(module)
    stem = path.parent.name or "public" if path.stem == "__init__" else path.stem.strip("_")
    own = path.parent / f"test_{stem}.py"
    if (TESTS / own).exists():
        return [own.as_posix()]
    for pattern, (tests, _) in TOGETHER.items():
        if fnmatch(module, pattern):
            return sorted(found.relative_to(TESTS).as_posix() for found in TESTS.glob(tests))
    return []


def is_read(module: str) -> bool:
    """Whether the module belongs into the table."""
    return not any(fnmatch(module, pattern) for pattern in NOT_READ)


def read(measured: coverage.Coverage, module: str) -> float:
    """Percent of the module's lines and branches that importing it and its own tests have run."""
    contexts = ["^$", *(f"^{re.escape(test)}$" for test in own_tests(module))]
    try:
        return measured.report(include=[str(PACKAGE / module)], contexts=contexts, file=io.StringIO())
    except coverage.exceptions.NoDataError:
        return 0.0  # nobody has even imported it


def main() -> int:
    """Print the table; 1 where a module has no tests of its own."""
    measured = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    measured.load()
    table = [(module, own_tests(module)) for module in modules() if is_read(module)]
    rows = sorted((read(measured, module), module, tests) for module, tests in table if tests)
    for percent, module, tests in rows:
        print(f"{percent:5.1f} %  {module:44} {tests[0]}{' ...' if len(tests) > 1 else ''}")
    untested = [module for module, tests in table if not tests]
    for module in untested:
        print(f"no test module of its own: {module}: write tests/.../test_....py, or say why in TOGETHER")
    print(f"{len(rows)} modules, {sum(row[0] for row in rows) / max(1, len(rows)):.1f} % by their own tests")
    return 1 if untested else 0


if __name__ == "__main__":
    sys.exit(main())
