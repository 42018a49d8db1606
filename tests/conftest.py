"""What every test stands on: a network namespace of the run's own, and both event loops.

The namespace is entered before any event loop or thread exists, so every TAP, address and flood of the tests stays
inside it and goes away with the process. Each async test runs once on asyncio's loop and once on uvloop's.
"""

import asyncio
import itertools
import logging
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import uvloop

from asyncnic.linux.netns import enter_private_network
from asyncnic.nic.nic import Nic
from tests.trust import account, is_named, measured, table
from tests.wire import Wire, make_tap

_tap_numbers = itertools.count()

hypothesis.settings.register_profile("house", deadline=None)  # how long an example takes is the machine's affair
hypothesis.settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        # It runs no test, it starts those that do; they find the host's network at their parent, as always. A short
        # path, since what is said of files is cut at a width.
        folder = tempfile.TemporaryDirectory(prefix="t")
        config.add_cleanup(folder.cleanup)
        config.option.basetemp = config.option.basetemp or f"{folder.name}/t"
        return
    enter_private_network()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if config.getoption("--trust"):
        uvloop.new_event_loop().close()  # what libuv opens once a process is no test's leak
    # Where the services under test have their control sockets, which no namespace of the network keeps apart.
    directory = tempfile.TemporaryDirectory(prefix="asyncnic-")
    config.add_cleanup(directory.cleanup)
    os.environ["RUNTIME_DIRECTORY"] = directory.name


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


HEAVY = {"bench", "dashboards", "deploy", "differential", "guest"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HEAVY & set(item.path.relative_to(Path(__file__).parent).parts):
            item.add_marker("heavy")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that was skipped has not passed: in CI, install what it needs."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--trust", action="store_true", help="print the table of faults and attacks that were survived")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.getoption("--trust"):
        stats = terminalreporter.stats
        reports = [one for kind in ("passed", "failed") for one in stats.get(kind, []) if one.when == "call"]
        # What a test has cost is known when it is torn down.
        known = {one.nodeid: one.user_properties for one in stats.get("", []) if one.when == "teardown"}
        ended = [(one.nodeid, one.failed, known.get(one.nodeid, one.user_properties)) for one in reports]
        terminalreporter.section("what is survived")
        for line in table(ended):
            terminalreporter.line(line)


@pytest.fixture(autouse=True)
def _measured(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test that is in the table of what is survived costs, beside what it says itself."""
    if not request.config.getoption("--trust") or not is_named(request.node.nodeid):
        yield
        return
    make = Nic.__init__

    def remembered(nic: Nic, *arguments: Any, **named: Any) -> None:
        make(nic, *arguments, **named)
        account(nic, lambda: nic.ledger().imbalance)

    with pytest.MonkeyPatch.context() as patch, measured() as found:
        patch.setattr(Nic, "__init__", remembered)
        yield
    said = {name for name, _ in request.node.user_properties}
    request.node.user_properties += [(name, value) for name, value in found.items() if name not in said]


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """Whatever a test does to logging, and running the service does, ends with it."""
    root, ours = logging.getLogger(), logging.getLogger("asyncnic")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before
    ours.manager._clear_cache()  # type: ignore[attr-defined]  # levels are cached


@pytest.fixture
def tap_name() -> Iterator[str]:
    """A TAP name that no other test uses; whatever has that name afterwards is deleted."""
    name = f"tap{next(_tap_numbers)}"
    yield name
    subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)


@pytest.fixture
def wire(tap_name: str) -> Iterator[Wire]:
    """The host's side of a persistent, quiet TAP called `tap_name`."""
    make_tap(tap_name)
    wire = Wire(tap_name)
    yield wire
    wire.close()
