"""Puts a bill of materials into a wheel: sbom.py LOCK WHEEL, or writes it alone: sbom.py LOCK FILE.json.

Run by wheels.sh and by .ci/audit; it downloads and installs nothing.

CycloneDX, at the place that PEP 770 names: what the lock file pins, with the hashes of what may be installed, and the
wheel itself as what it is of. Times and serial numbers stay out, so that two builds of one commit are equal.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path


def components(lock: str) -> list[dict[str, object]]:
    """The components that a lock file pins, in its order, each with its SHA-256 hashes."""
    found: list[dict[str, object]] = []
    for name, version, hashes in re.findall(r"^([\w.-]+)==(\S+)((?:.*\\\n)*.*)$", lock, re.MULTILINE):
        found.append(
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in re.findall(r"sha256:(\w+)", hashes)],
            }
        )
    return found


def bill(name: str, version: str, lock: str) -> dict[str, object]:
    """The bill of materials of `name` at `version`, CycloneDX 1.6."""
    own = {"type": "application", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": components(lock),
    }


def add(lock: Path, wheel: Path) -> None:
    """Write the bill of `lock` into `wheel`."""
    name, version = wheel.name.split("-")[:2]
    with tempfile.TemporaryDirectory() as folder:
        _wheel("unpack", folder, wheel)
        root = Path(folder, f"{name}-{version}")
        place = root / f"{name}-{version}.dist-info" / "sboms"
        place.mkdir()
        text = json.dumps(bill(name, version, lock.read_text()), indent=1)
        place.joinpath(f"{name}.cdx.json").write_text(text + "\n")
        wheel.unlink()
        _wheel("pack", str(wheel.parent), root)


def write(lock: Path, file: Path) -> None:
    """Write the bill of `lock` for this checkout."""
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())["project"]
    file.write_text(json.dumps(bill(project["name"], project["version"], lock.read_text()), indent=1) + "\n")


def _wheel(what: str, folder: str, path: Path) -> None:
    command = [sys.executable, "-m", "wheel", what, "-d", folder, str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    (write if sys.argv[2].endswith(".json") else add)(Path(sys.argv[1]), Path(sys.argv[2]))
