"""One rig for all tests, replaced when the two chips have come apart; and how much was compared, at the end."""

from collections.abc import Iterator

import pytest

from tests.differential.rig import Rig, Steps


@pytest.fixture(scope="session")
def rigs() -> Iterator[list[Rig]]:
    rigs: list[Rig] = []
    yield rigs
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(rigs: list[Rig]) -> Rig:
    if not rigs:
        rigs.append(Rig())
    elif rigs[0].sound:
        rigs[0].power_cycle()
    else:
        rigs.pop().close()
        rigs.append(Rig())
    return rigs[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"differential: {Steps.compared} comparisons of the model with QEMU's chip")
