"""The committed scrape as Prometheus's own tool reads it."""

from pathlib import Path

from tests.system.service import program

GOLDEN = Path(__file__).parent.parent / "web" / "golden.prom"


def test_promtool_finds_nothing_to_complain_of() -> None:
    assert program("promtool", "check", "metrics", input=GOLDEN.read_text()) == ""
