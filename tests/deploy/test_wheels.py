"""Which wheels a release has, as cibuildwheel reads it from pyproject.toml. Building them takes containers."""

import itertools
import subprocess
import sys
import tomllib

from tests.deploy.conftest import ROOT

PYTHONS = ("cp311", "cp312", "cp313", "cp314")
SYSTEMS = ("manylinux", "musllinux")
PROCESSORS = ("x86_64", "aarch64")


def test_there_is_one_for_each_python_libc_and_processor() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--print-build-identifiers", str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = {f"{python}-{system}_{cpu}" for python, system, cpu in itertools.product(PYTHONS, SYSTEMS, PROCESSORS)}
    assert set(done.stdout.split()) == wanted


def test_each_is_proved_compiled_and_has_its_bill_of_materials() -> None:
    wheels = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]
    assert "IMPLEMENTATION" in wheels["test-command"]
    assert wheels["repair-wheel-command"][0].startswith("python {project}/deploy/package/sbom.py ")
    assert (ROOT / "deploy" / "package" / "sbom.py").exists()
