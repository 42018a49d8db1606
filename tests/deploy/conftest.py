"""The image, built once for all tests of it."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.system.service import program

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/asyncnic:test"
LIMITS = ("--runtime", "runc", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
"""So that it also runs where raising limits is forbidden and crun cannot cope with the cgroups."""
BUILD_SECONDS = 900


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone of what is committed."""
    folder = tmp_path_factory.mktemp("image") / "clone"
    program("git", "clone", "-q", str(ROOT), str(folder))
    return folder


@pytest.fixture(scope="session")
def image(clone: Path) -> str:
    """The image of what is committed. Building needs the network, which the test run has left."""
    subprocess.run(
        ["nsenter", f"--net=/proc/{os.getppid()}/ns/net", str(clone / "deploy/container/build.sh"), IMAGE],
        env=os.environ | {"OCI_FLAGS": " ".join(LIMITS)},
        timeout=BUILD_SECONDS,
        check=True,
    )
    return IMAGE
