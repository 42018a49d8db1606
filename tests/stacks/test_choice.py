"""Names of stacks to what runs: resolved before there is a nic, refused in one line."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from asyncnic.errors import SettingsError
from asyncnic.settings.load import load
from asyncnic.settings.model import Settings
from asyncnic.stacks.choice import STACKS, choose, described, stack
from asyncnic.stacks.inet.skin import InetStack
from asyncnic.stacks.inet.tcp.config import Config
from asyncnic.stacks.stack import Stack
from tests.stacks.inet.test_skin import Nic


def refusal(**flags: object) -> str:
    with pytest.raises(SettingsError) as caught:
        choose(load(flags, {}, None))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Writes the module that --stack can name as "users_own:..."; its name is used by nobody else."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_own", raising=False)
    return (tmp_path / "users_own.py").write_text


async def test_a_coroutine_function_is_found_even_inside_a_class(write: Callable[[str], int]) -> None:
    write("class Stacks:\n    ran = []\n    @classmethod\n    async def mine(cls, nic):\n        cls.ran.append(nic)\n")
    make = choose(load({"stack": "users_own:Stacks.mine"}, {}, None))
    nic = object()
    stack = make(nic)  # type: ignore[arg-type]  # it is only passed on
    await stack.run()
    assert sys.modules["users_own"].Stacks.ran == [nic]
    assert stack.outcomes() == {}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ValueError('bad\\nmodule')", "cannot import users_own: ValueError: bad\\nmodule"),
        ("import sys; sys.exit(3)", "cannot import users_own: SystemExit: 3"),
        ("def stack(nic): pass", "users_own has no coroutine function stack"),
        ("", "users_own has no coroutine function stack"),
    ],
)
def test_what_is_wrong_with_a_module_is_one_line(write: Callable[[str], int], code: str, message: str) -> None:
    write(code)
    assert refusal(stack="users_own:stack") == f"--stack users_own:stack: {message}"


def test_a_service_that_does_not_exist_names_its_flag() -> None:
    assert refusal(service=("nothing-known:7",)).startswith("--service nothing-known:7: ")


@pytest.mark.parametrize("flags", [{}, {"stack": "sink"}, {"stack": "kernel"}, {"service": ("udp-echo:7",)}])
def test_the_current_directory_is_no_place_to_import_from(monkeypatch: pytest.MonkeyPatch, flags: Any) -> None:
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    choose(load(flags, {}, None))
    assert "" not in sys.path


@pytest.mark.parametrize("flags", [{"stack": "users_own:stack"}, {"service": ("users_own:Factory:9",)}])
def test_the_users_own_is_looked_for_there_after_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: Any
) -> None:
    (tmp_path / "users_own.py").write_text("import zipapp\nasync def stack(nic): ...\nclass Factory: ...\n")
    (tmp_path / "zipapp.py").write_text("raise RuntimeError('imported in the place of the standard library')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    monkeypatch.delitem(sys.modules, "users_own", raising=False)
    monkeypatch.delitem(sys.modules, "zipapp", raising=False)
    choose(load(flags, {}, None))
    assert sys.path[-1] == ""
    assert sys.modules["users_own"].__file__ == str(tmp_path / "users_own.py")


def test_every_stack_of_the_folder_is_found_and_says_what_it_is() -> None:
    assert {"inet", "kernel", "sink"} <= STACKS.keys()
    for name, spec in STACKS.items():
        assert spec.name == name
        assert spec.help
        assert f"{name} ({spec.help})" in described()
        assert stack(name) == name


def test_a_module_with_a_spec_is_a_stack_and_needs_nothing_else(tmp_path: Path) -> None:
    """In a process of its own, since the table is made once: `--stack` takes it, the help names it, it gets the nic."""
    (tmp_path / "throwaway.py").write_text(
        "from asyncnic.stacks.stack import Stack, StackSpec\n"
        "class Throwaway(Stack):\n"
        "    def __init__(self, nic): self.nic = nic\n"
        "    async def run(self): return self.nic\n"
        "SPEC = StackSpec(name='throwaway', help='a test', make=lambda settings: Throwaway)\n"
    )
    program = (
        "import asyncio, asyncnic.stacks\n"
        f"asyncnic.stacks.__path__.append({str(tmp_path)!r})\n"
        "from asyncnic.settings.load import load\n"
        "from asyncnic.settings.model import Settings\n"
        "from asyncnic.stacks.choice import choose\n"
        "stack = choose(load({'stack': 'throwaway'}, {}, None))('the nic')\n"
        "assert asyncio.run(stack.run()) == 'the nic'\n"
        "assert 'throwaway (a test)' in Settings.model_fields['stack'].description\n"
        "assert stack.outcomes() == {} and stack.trouble() == ''\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_what_is_heavy_is_imported_when_a_stack_is_made() -> None:
    program = "import sys, asyncnic.stacks.choice; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"pyroute2", "asyncnic.stacks.inet.stack", "asyncnic.nic.nic"} & set(ran.stdout.split())


async def test_a_stack_that_says_nothing_does_nothing() -> None:
    plain = Stack()
    plain.connect(lambda frame: None)
    plain.overhear(b"")
    await plain.set_up()
    plain.close()
    assert (plain.outcomes(), plain.events(), plain.addresses(), plain.trouble()) == ({}, {}, {}, "")
    with pytest.raises(NotImplementedError):
        await plain.run()


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.startswith("tcp_")])
def test_every_limit_of_tcp_reaches_the_stack(name: str) -> None:
    nic = Nic()
    nic.host = None  # type: ignore[attr-defined]
    stack = choose(load({name: str(2_000_000 if name == "tcp_memory" else 17)}, {}, None))(nic)  # type: ignore[arg-type]  # the part of a nic that it needs
    assert isinstance(stack, InetStack)
    config = asdict(stack.inet.tcp.config)
    turned = {key for key, value in config.items() if value != asdict(Config())[key]}
    assert turned == {name.removeprefix("tcp_")}
