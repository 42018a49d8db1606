"""The house itself: one name means one class, files stay readable, and each says what it is."""

import ast
from collections import defaultdict
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests import own_coverage

PACKAGE = Path(__file__).parent.parent / "asyncnic"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 400
"""Lines of a file."""


def test_no_two_classes_have_one_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_no_file_is_longer_than_a_reader_bears() -> None:
    assert {str(path): lines for path in MODULES if (lines := len(path.read_text().splitlines())) > LONGEST} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_file_opens_with_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_each_module_has_tests_of_its_own() -> None:
    assert [
        name for name in own_coverage.modules() if own_coverage.is_read(name) and not own_coverage.own_tests(name)
    ] == []


def test_each_exception_is_of_modules_that_need_it() -> None:
    """A pattern that matches nothing, or only what has a test file of its own by now, is a leftover."""
    names = own_coverage.modules()
    for pattern in own_coverage.NOT_READ:
        assert any(fnmatch(name, pattern) for name in names), pattern
    first = {next((p for p in own_coverage.TOGETHER if fnmatch(name, p)), None) for name in names if not named(name)}
    assert set(own_coverage.TOGETHER) - first == set()


def named(module: str) -> bool:
    """Whether the module's test file has its name."""
    path = Path(module)
    return own_coverage.own_tests(module) == [str(path.parent / f"test_{path.stem}.py")]
