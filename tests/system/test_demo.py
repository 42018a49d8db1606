"""`asyncnic demo`, in its own network namespace: as root, as a user, and where the kernel allows neither."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.privileges import NO_CAPABILITIES, as_user
from tests.system.service import asyncnic, imbalance

PACKETS = 20_000


@pytest.fixture
def anyones_folder() -> Iterator[Path]:
    """A folder where every user may write."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def demo(file: Path, prefix: list[str]) -> subprocess.CompletedProcess[str]:
    return asyncnic("demo", "--packets", str(PACKETS), "--seconds", "1", "--json", str(file), prefix=prefix)


def assert_exact(result: subprocess.CompletedProcess[str], file: Path) -> None:
    """The demo succeeded, and its JSON accounts for every packet."""
    assert result.returncode == 0, result.stderr
    assert "Where every frame went" in result.stdout
    assert "NOT EXACT" not in result.stdout
    assert "Traceback" not in result.stderr
    ledger: dict[str, Any] = json.loads(file.read_text())
    assert ledger["offered"] == ledger["sender"]["datagrams"] == PACKETS
    assert imbalance(ledger) == ledger["balance"] == 0
    assert ledger["in_flight"] == 0
    assert ledger["datagrams"] == ledger["delivered"] > 0
    assert ledger["exact"]


def test_the_demo_accounts_for_every_frame(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    assert_exact(demo(file, []), file)


def test_a_user_needs_no_root_for_the_demo(anyones_folder: Path) -> None:
    file = anyones_folder / "demo.json"
    prefix = as_user("666")
    allowed = subprocess.run([*prefix, "unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0
    result = demo(file, prefix)
    if allowed:
        assert_exact(result, file)
    else:
        assert result.returncode == 3
        assert result.stderr.startswith("asyncnic: no private network namespace (")
        assert result.stderr.count("\n") == 1


def test_a_user_who_may_not_open_the_tun_driver_gets_the_table_all_the_same(anyones_folder: Path) -> None:
    path = anyones_folder / "demo.json"
    result = demo(path, as_user("600"))
    assert result.returncode == 0, result.stderr
    assert result.stderr.startswith("no TAP, on packet:")
    assert json.loads(path.read_text())["exact"] is True


def test_no_namespace_for_the_demo(tmp_path: Path) -> None:
    result = demo(tmp_path / "demo.json", [*NO_CAPABILITIES])
    assert result.returncode == 3
    assert result.stderr.startswith("asyncnic: no private network namespace (Operation not permitted): run as root")
    assert result.stderr.count("\n") == 1


def test_root_without_the_right_to_namespaces_gets_the_table_by_a_user_namespace(tmp_path: Path) -> None:
    """As in a container whose root has the usual capabilities."""
    file = tmp_path / "demo.json"
    assert_exact(demo(file, ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"]), file)
