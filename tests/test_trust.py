"""The table of what is survived names tests that are there, and says only what they have shown."""

import os
import re
from pathlib import Path

import pytest

from tests.trust import ROWS, account, is_named, measured, recovering, table

ROOT = Path(__file__).parent.parent
TEST = re.compile(r"^(?:async )?def (test_\w+)", re.M)


def test_it_has_forty_rows_and_more() -> None:
    assert len(ROWS) >= 40


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_shown_by_a_test_that_is_there(row: str) -> None:
    path, _, name = ROWS[row].replace("\\", "").partition("::")
    tests = TEST.findall((ROOT / path).read_text())
    wanted = re.compile(name.partition("[")[0])
    assert any(wanted.match(test) for test in tests)


def test_what_a_test_costs_is_measured_around_it() -> None:
    with measured() as found, open("/dev/null", "rb") as closed:
        account("whole", lambda: 0)
        account("a ledger", lambda: 5)
        account("a ledger", lambda: -3)  # read again
        with recovering():
            kept = os.dup(closed.fileno())
    assert found.pop("recovery") >= 0
    assert found == {"leaks": 1, "unaccounted": 3}
    os.close(kept)
    with measured() as found:
        assert not is_named("tests/test_trust.py::test_what_a_test_costs_is_measured_around_it")
    assert found == {"leaks": 0}  # no ledger, and nothing to recover from


def test_what_was_not_measured_is_not_claimed() -> None:
    law = "tests/faults/test_law.py::test_the_law_holds_under_every_fault[asyncio-tap-drop=5%-direct-leave]"
    measured = [("tried", 30), ("unaccounted", 0), ("leaks", 0), ("recovery", 0.25)]
    echo = "tests/stacks/inet/test_services.py::test_two_echoes_do_not_keep_each_other_busy[asyncio]"
    head, first, second = table([(law, False, measured), (law, False, measured), (echo, True, ())])
    assert head.split()[-4:] == ["unaccounted", "crashes", "leaks", "recovery"]
    assert first.split() == ["frames:", "drop", "60", "0", "0", "0", "250", "ms"]
    assert second.split() == ["echo", "loops", "1", "-", "1", "-", "-"]
