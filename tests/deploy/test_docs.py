"""The documentation: it builds without a warning, and every command in it runs as it stands, page by page."""

import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT
from tests.system.service import environment

PAGES = ROOT / "deploy/docs/pages"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 120
COMMANDS = {page: BLOCK.findall(page.read_text()) for page in sorted(PAGES.rglob("*.md"))}
WITH_COMMANDS = [page for page, blocks in COMMANDS.items() if blocks]


def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        [*build, "--config-file", str(ROOT / "deploy/docs/mkdocs.yml")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "tutorial" / "index.html").exists()


@pytest.mark.parametrize(("page", "least"), [("way.md", 20), ("glossary.md", 19)])
def test_names_in_the_explanations_are_of_what_there_is(page: str, least: int) -> None:
    names = re.findall(r"`(asyncnic\.[\w.]+):([\w.]+)`", (PAGES / "explanation" / page).read_text())
    assert len(names) >= least
    for module, name in names:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)


def test_no_other_kind_of_block_hides_a_command() -> None:
    for page in PAGES.rglob("*.md"):
        assert set(re.findall(r"^```(\w+)$", page.read_text(), re.MULTILINE)) <= {"sh"}, page


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(PAGES)))
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """In one shell, in order, each command must succeed; what a page leaves running ends with it."""
    script = "set -euo pipefail -m\n" + "\n".join(COMMANDS[page])
    env = environment({"EXAMPLES": str(ROOT / "deploy/examples"), "DEPLOY": str(ROOT / "deploy")})
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    env["RUNTIME_DIRECTORY"] = str(tmp_path)
    shell = subprocess.Popen(
        ["bash", "-c", f"{script}\nkill $(jobs -p) 2>/dev/null || true\nwait || true"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = shell.communicate(timeout=SECONDS)
        assert shell.returncode == 0, said
    finally:
        end_session(shell.pid)


def end_session(session: int) -> None:
    """Kill whatever is left of the session, whatever process group it is in."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session:
                    os.kill(int(entry.name), signal.SIGKILL)
            except ProcessLookupError:
                continue


def test_the_tutorial_has_commands_to_run() -> None:
    assert len(COMMANDS[PAGES / "tutorial.md"]) >= 6
    assert sum(map(len, COMMANDS.values())) >= 15
