"""The demo as a user runs it: a private network, a flood, a table that adds up, and JSON in the contract's form."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from asyncnic.bench.demo import Result
from asyncnic.bench.load import Offered
from asyncnic.nic.ledger import Ledger


def run_demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "asyncnic", "demo", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_every_frame_is_accounted_for(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    done = run_demo("--packets", "20000", "--seconds", "1", "--json", str(file))
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    assert set(result) >= {"offered", "delivered", "filtered", "in_flight", "dropped", "datagrams", "sender"}
    assert set(result["dropped"]) == {"kernel", "card", "driver", "queue"}
    assert result["offered"] == result["sender"]["datagrams"] == 20_000
    assert result["in_flight"] == result["filtered"] == result["balance"] == 0
    assert result["offered"] == result["delivered"] + sum(result["dropped"].values())
    assert result["datagrams"] == result["delivered"]
    for text in ("Where every frame went", "20,000", "46,959", "68,174", "balance"):
        assert text in done.stdout
    assert "offered" in done.stderr


def test_a_flood_balances_too(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    done = run_demo("--packets", "150000", "--seconds", "0.1", "--json", str(file))
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    assert result["offered"] == 150_000
    assert result["dropped"]["kernel"] > 0
    assert result["exact"] is True


def unprivileged(hidden: Path) -> list[str]:
    """What runs a command as an ordinary user where there is no /dev/net/tun; this Python stays where he can read it.

    Args:
        hidden: an empty directory.
    """
    base = Path(sys.base_prefix)
    closed = next((up for up in reversed(base.parents) if not up.stat().st_mode & stat.S_IXOTH), None)
    steps = ["mount -t tmpfs none /dev/net"]
    if closed is not None:
        steps += [
            f"mount --bind {base} {hidden}",
            f"mount -t tmpfs -o mode=755 none {closed}",
            f"mkdir -p {base}",
            f"mount --bind {hidden} {base}",
        ]
    user = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all --no-new-privs"
    return ["unshare", "-m", "sh", "-euc", "; ".join([*steps, f'exec {user} "$@"']), "sh"]


@pytest.mark.parametrize("packets", ["20000", "150000"])
def test_an_ordinary_user_without_the_node_gets_the_table_on_a_packet_ring(tmp_path: Path, packets: str) -> None:
    command = [sys.executable, "-m", "asyncnic", "demo", "--packets", packets, "--seconds", "0.5"]
    done = subprocess.run([*unprivileged(tmp_path), *command], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("no TAP, on packet:asyncnic1 instead: asyncnic0: ")
    for text in ("Where every frame went", f"{int(packets):,}", "46,959", "balance"):
        assert text in done.stdout
    assert "NOT EXACT" not in done.stdout


def test_a_file_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    done = run_demo("--json", str(tmp_path / "nowhere" / "demo.json"))
    assert done.returncode == 1
    assert done.stderr.startswith("asyncnic: --json ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("no namespace", 3, "no private network namespace"),
        ("no tun", 4, "/dev/net/tun is missing"),
    ],
)
def test_what_is_missing_is_one_line(how: str, code: int, words: str) -> None:
    break_it = {
        "no namespace": "from asyncnic.bench import demo; from asyncnic.errors import PrivilegeError\n"
        "def refuse(): raise PrivilegeError('no private network namespace (Operation not permitted): run as root')\n"
        "demo.enter_private_network = refuse",
        "no tun": "import pyroute2\n"
        "def missing(*a, **k): raise FileNotFoundError(2, 'No such file or directory')\n"
        "pyroute2.IPRoute.link = missing",
    }[how]
    program = f"{break_it}\nimport sys; from asyncnic.cli import main; sys.exit(main(['demo', '--packets', '10']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def made_up(offered: int, delivered: int, sent: int) -> Result:
    ledger = Ledger(offered, delivered, 0, 0, {"kernel": {"tap_queue_full": 5}})
    return Result(ledger, delivered, Offered(sent, sent * 60, 1.0, 0.1, sent, 1, 0), 1.0, 0.1)


@pytest.mark.parametrize(
    ("offered", "delivered", "sent", "exact"), [(100, 95, 100, True), (100, 94, 100, False), (100, 95, 101, False)]
)
def test_exact_means_balanced_and_the_senders_count(offered: int, delivered: int, sent: int, exact: bool) -> None:
    result = made_up(offered, delivered, sent)
    assert result.exact is exact
    assert result.as_json()["exact"] is exact
