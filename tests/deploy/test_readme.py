"""deploy/README.md keeps its word: from nothing to a scraped container, in the commands printed, on a clean clone.

The machine is made an ordinary one first, in namespaces of the test's own: /dev/net/tun as udev makes it, and podman's
defaults such that no flag needs to be added. The image's layers come from the build of the `image` fixture.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy

CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
"""
ORDINARY = """set -eu
mount -t tmpfs tmpfs /dev/net
mknod -m 0666 /dev/net/tun c 10 200
"""
CLEANUP = "podman rm --force --time 0 asyncnic; ip link del asyncnic0; rm -rf /tmp/asyncnic-prometheus*"


def first_block(readme: str) -> str:
    """The commands of the first section that has any."""
    found = re.search(r"(?:^    .*\n)+", readme, re.MULTILINE)
    assert found
    return re.sub(r"^    ", "", found[0], flags=re.MULTILINE)


@pytest.mark.usefixtures("image")
def test_newcomers_commands_lead_to_a_scraped_container(clone: Path, tmp_path: Path) -> None:
    commands = first_block((clone / "deploy" / "README.md").read_text())
    (tmp_path / "containers.conf").write_text(CONTAINERS_CONF)
    end = "podman inspect --format '{{.State.ExitCode}}' asyncnic"
    script = f"{ORDINARY}trap '{CLEANUP}; kill $! || true' EXIT\n{commands}{end}\n"
    result = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script],
        cwd=clone,
        env=os.environ | {"CONTAINERS_CONF": str(tmp_path / "containers.conf")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    lines = result.stdout.splitlines()
    assert any("3 received, 0% packet loss" in line for line in lines)
    delivered = [float(count) for count in re.findall(r"asyncnic_delivered_frames_total{.*} => (\S+) @", result.stdout)]
    assert sum(delivered) >= 3
    assert any(re.fullmatch(r"rx_budget\s+64 -> 32", line) for line in lines)
    assert "0" in lines, "the exit code after podman stop"
