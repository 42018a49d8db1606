"""Landlock: what is not named is refused, by the kernel that the tests run on."""

import socket
from pathlib import Path

import pytest

from asyncnic.linux.landlock import Allowed, Files, version
from tests.linux.confined import said

CONFINE = """
from asyncnic.linux.landlock import *
here, there = Path(sys.argv[1]), Path(sys.argv[2])
allowed = Allowed()
"""


def test_this_kernel_has_it() -> None:
    assert version() >= 1


@pytest.mark.parametrize(
    ("allow", "refused"),
    [
        ("", {"read", "list", "write", "make", "remove", "folder"}),
        ("allowed.allow(READ, here)", {"write", "make", "remove", "folder"}),
        ("allowed.allow(USE, here)", {"make", "remove", "folder"}),
        ("allowed.allow(CHANGE, here)", set()),
        ("allowed.allow(READ, here / 'file')", {"list", "write", "make", "remove", "folder"}),
        ("allowed.allow(CHANGE, here / 'absent')", {"read", "list", "write", "make", "remove", "folder"}),
    ],
)
def test_files_are_reached_as_they_are_named_and_no_others_at_all(
    tmp_path: Path, allow: str, refused: set[str]
) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text("text")
    program = f"""{CONFINE}
{allow}
restrict(allowed)
for folder in (here, there):
    for name, what in {{
        "read": lambda: (folder / "file").read_text(),
        "list": lambda: os.listdir(folder),
        "write": lambda: os.close(os.open(folder / "file", os.O_WRONLY)),
        "make": lambda: os.close(os.open(folder / "new", os.O_WRONLY | os.O_CREAT)),
        "remove": lambda: (folder / "file").unlink(),
        "folder": lambda: (folder / "folder").mkdir(),
    }}.items():
        print(folder.name, name, tried(what))
"""
    lines = [line.split() for line in said(program, str(tmp_path / "here"), str(tmp_path / "there"))]
    assert {name for folder, name, result in lines if folder == "here" and result == "EACCES"} == refused
    assert {result for folder, _, result in lines if folder == "here"} <= {"done", "EACCES"}
    assert {result for folder, _, result in lines if folder == "there"} == {"EACCES"}


def test_tcp_ports_are_those_that_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as open_one, socket.create_server(("127.0.0.1", 0)) as shut:
        program = f"""{CONFINE}
restrict(Allowed(connect=(int(sys.argv[1]),)))
for port in map(int, sys.argv[1:3]):
    print(tried(lambda: socket.socket().connect(("127.0.0.1", port))))
print(tried(lambda: socket.socket().bind(("127.0.0.1", 0))))
"""
        ports = (str(open_one.getsockname()[1]), str(shut.getsockname()[1]))
        assert said(program, *ports) == ["done", "EACCES", "EACCES"]


def test_nothing_outside_is_signalled_or_found_by_an_abstract_name(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outside:
        outside.bind(f"\0{tmp_path}")
        program = f"""{CONFINE}
restrict(allowed)
print(tried(lambda: os.kill(os.getppid(), 0)))
print(tried(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect("\\0" + sys.argv[1])))
print(tried(lambda: os.kill(os.getpid(), 0)))
"""
        assert said(program, str(tmp_path), "") == ["EPERM", "EPERM", "done"]


def test_a_kernel_without_it_changes_nothing() -> None:
    program = f"""{CONFINE}
from asyncnic.linux.seccomp import deny
deny(["landlock_create_ruleset"])
print(version(), restrict(allowed), tried(lambda: os.listdir("/")))
"""
    assert said(program, "", "") == ["0 0 done"]


def test_what_is_allowed_adds_up() -> None:
    allowed = Allowed()
    allowed.allow(Files.READ_DIR, Path("/a"), Path("/b"))
    allowed.allow(Files.EXECUTE, Path("/a"))
    assert allowed.files == {Path("/a"): Files.READ_DIR | Files.EXECUTE, Path("/b"): Files.READ_DIR}
