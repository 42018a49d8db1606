"""Wheel and Debian package: from a bare root of Debian 12, without compiler or registry, to a scrape."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.conftest import BUILD_SECONDS, ROOT
from tests.system.service import program

pytestmark = pytest.mark.heavy

OUTSIDE = ("nsenter", f"--net=/proc/{os.getppid()}/ns/net")
"""Building needs the network, which the test run has left."""
ENTER = 'mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" && root=$1 && shift && exec chroot "$root" "$@"'
PORT = 9741
TEST_TOOLS = {
    "pytest",
    "pytest-asyncio",
    "hypothesis",
    "iniconfig",
    "packaging",
    "pluggy",
    "pygments",
    "sortedcontainers",
}
"""What the tests of the packet path are run with."""
BESIDE_THE_WHEEL = "--ignore=tests/settings/test_schema.py"
"""It reads the manual, which is in no wheel."""
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def dist(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Source distribution, wheel and Debian package of what is committed, and the wheels of what they need."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [*OUTSIDE, str(clone / "deploy/package/wheels.sh"), str(folder), "/usr/bin/python3"],
        timeout=BUILD_SECONDS,
        check=True,
    )
    [wheel] = folder.glob("*.whl")
    subprocess.run(
        [*OUTSIDE, str(clone / "deploy/package/deb.sh"), str(wheel), str(folder)], timeout=BUILD_SECONDS, check=True
    )
    pip = (*OUTSIDE, sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes")
    needed = folder / "needed"
    subprocess.run([*pip, "-r", str(clone / "requirements.lock"), "-d", str(needed)], timeout=BUILD_SECONDS, check=True)
    return folder


def interpreters() -> list[Path]:
    """The supported CPythons of this machine, one a minor version: Debian's, and those beside the one that runs."""
    found = {(3, 11): Path("/usr/bin/python3")}
    for path in Path(sys.base_prefix).parent.glob("3.*/bin/python3"):
        version = tuple(int(part) for part in path.parts[-3].split(".")[:2])
        if (3, 11) < version <= (3, 14):
            found[version[0], version[1]] = path
    return [found[version] for version in sorted(found)]


@pytest.mark.parametrize("python", interpreters(), ids=lambda python: python.parts[-3])
def test_the_tests_pass_against_the_installed_wheel(python: Path, clone: Path, tmp_path: Path) -> None:
    """Without a compiler on PATH, away from the sources; those tests that need no device."""
    wheels = [*OUTSIDE, str(clone / "deploy/package/wheels.sh"), str(tmp_path), str(python)]
    subprocess.run(wheels, timeout=BUILD_SECONDS, check=True)
    [wheel] = tmp_path.glob("*.whl")
    venv = tmp_path / "venv"
    program(str(python), "-m", "venv", str(venv))
    pip = [*OUTSIDE, str(venv / "bin/pip"), "install", "-q", "--no-deps"]
    pinned = re.findall(
        r"^(?:[\w.-]+==.*\\\n(?:.*\\\n)*.*)$", (clone / "requirements-dev.lock").read_text(), re.MULTILINE
    )
    tools = tmp_path / "tools.lock"
    tools.write_text("\n".join(lines for lines in pinned if lines.partition("==")[0] in TEST_TOOLS) + "\n")
    needed = ("-r", str(tools), "-r", str(clone / "requirements.lock"))
    subprocess.run([*pip, *needed], timeout=BUILD_SECONDS, check=True)
    subprocess.run([*pip, str(wheel)], timeout=BUILD_SECONDS, check=True)
    program("cp", "-r", str(clone / "tests"), str(clone / "pyproject.toml"), str(tmp_path))
    done = subprocess.run(
        [str(venv / "bin/pytest"), "-q", "tests/pcnet32", "tests/hot", "tests/settings", BESIDE_THE_WHEEL],
        cwd=tmp_path,
        env={"PATH": f"{venv}/bin:/usr/sbin"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of Debian 12 with Python, and nothing that compiles."""
    root = tmp_path_factory.mktemp("bare") / "root"
    subprocess.run(
        [*OUTSIDE, "mmdebstrap", "--quiet", "--variant=apt", "--include=python3,python3-venv", "bookworm", str(root)],
        timeout=BUILD_SECONDS,
        check=True,
    )
    assert not list(root.glob("usr/bin/*gcc*"))
    return root


def inside(root: Path, *command: str) -> list[str]:
    """The command line that runs `command` in `root`, whose mounts go away with it."""
    return ["unshare", "--mount", "--fork", "--kill-child", "sh", "-c", ENTER, "enter", str(root), *command]


def run_inside(root: Path, *command: str) -> str:
    """Run `command` in `root`; what it printed. A failure fails the test."""
    done = subprocess.run(
        inside(root, *command),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def scraped(root: Path, asyncnic: str) -> Iterator[str]:
    """The service in `root` on a TAP of its own: the text of a scrape of it."""
    flags = ("run", "--device", "tap:packaged0", "--listen", f"127.0.0.1:{PORT}", "--control", "")
    with subprocess.Popen(inside(root, asyncnic, *flags), stderr=subprocess.PIPE, text=True) as service:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    with _opener.open(f"http://127.0.0.1:{PORT}/-/ready", timeout=2):
                        break
                except OSError:
                    assert service.poll() is None, service.stderr
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            with _opener.open(f"http://127.0.0.1:{PORT}/metrics", timeout=10) as response:
                yield response.read().decode()
        finally:
            service.kill()


def test_the_wheel_says_what_it_is_made_of(dist: Path) -> None:
    [wheel] = dist.glob("*.whl")
    assert "manylinux" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [bill] = [name for name in names if name.endswith(".dist-info/sboms/asyncnic.cdx.json")]
        found = json.loads(archive.read(bill))
    assert any(re.fullmatch(r"asyncnic/hot/_compiled.*\.so", name) for name in names)
    assert found["bomFormat"] == "CycloneDX"
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert {component["name"] for component in found["components"]} == pinned
    assert all(component["hashes"] for component in found["components"])


def test_two_builds_of_one_commit_are_equal(dist: Path, clone: Path, tmp_path: Path) -> None:
    subprocess.run(
        [*OUTSIDE, str(clone / "deploy/package/wheels.sh"), str(tmp_path), "/usr/bin/python3"],
        timeout=BUILD_SECONDS,
        check=True,
    )
    for again in tmp_path.iterdir():
        assert again.read_bytes() == (dist / again.name).read_bytes(), again.name


def test_the_wheel_serves_on_a_bare_root(dist: Path, bare: Path) -> None:
    program("cp", "-r", str(dist), str(bare / "dist"))
    run_inside(bare, "python3", "-m", "venv", "/venv")
    run_inside(bare, "sh", "-c", "/venv/bin/pip install -q --no-index --find-links /dist/needed /dist/asyncnic-*.whl")
    with scraped(bare, "/venv/bin/asyncnic") as text:
        assert 'asyncnic_build_info{hot_path="compiled"' in text


def test_the_debian_package_serves_upgrades_and_goes_without_a_trace(dist: Path, bare: Path) -> None:
    [package] = dist.glob("*.deb")
    program("cp", str(package), str(bare / "asyncnic.deb"))
    install = ("apt-get", "install", "-qy", "--reinstall", "/asyncnic.deb")
    run_inside(bare, *install)
    with scraped(bare, "/usr/bin/asyncnic") as text:
        assert 'asyncnic_build_info{hot_path="compiled"' in text
    settings = bare / "etc/asyncnic/asyncnic.toml"
    mine = settings.read_text() + "# mine\n"
    settings.write_text(mine)
    run_inside(bare, *install)
    assert settings.read_text() == mine
    assert (bare / "usr/lib/systemd/system/asyncnic.service").exists()
    assert (bare / "usr/share/man/man1/asyncnic-run.1.gz").exists()
    assert "_asyncnic_completion" in (bare / "usr/share/bash-completion/completions/asyncnic").read_text()
    run_inside(bare, "apt-get", "purge", "-qy", "asyncnic")
    left = [place for place in ("opt/asyncnic", "etc/asyncnic", "usr/bin/asyncnic") if (bare / place).exists()]
    assert left == []
