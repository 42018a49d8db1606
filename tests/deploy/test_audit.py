"""The supply chain's step of CI: the bill of materials, and what is made of the auditor's answer."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT

AUDITOR = """#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done
%s
"""


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ({"dependencies": [{"name": "one", "vulns": []}]}, 0, "no weakness is known"),
        ({"dependencies": [{"name": "one", "vulns": [{"id": "PYSEC-0"}]}]}, 1, "a weakness is known"),
        (None, 0, "not audited: nobody could be asked"),
    ],
)
def test_a_known_weakness_fails_and_silence_is_said(tmp_path: Path, answer: object, code: int, said: str) -> None:
    auditor = tmp_path / "auditor"
    auditor.write_text(AUDITOR % (f"echo '{json.dumps(answer)}' >$out; exit {code}" if answer else "exit 1"))
    auditor.chmod(0o755)
    env = os.environ | {"PIP_AUDIT": str(auditor), "BUILD": str(tmp_path / "build")}
    done = subprocess.run([ROOT / ".ci/audit"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count(said)) == (code, 2), done.stderr
    bill = json.loads((tmp_path / "build" / "asyncnic.cdx.json").read_text())
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert {component["name"] for component in bill["components"]} == pinned
