"""The control socket: where it lies, who may connect, and what is left of it."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from asyncnic.service import control
from asyncnic.service.control import ControlSocket, answers, find, place

DEVICE = "tap:asyncnic0"


@pytest.mark.parametrize(
    ("setting", "environ", "uid", "expected"),
    [
        ("", {"RUNTIME_DIRECTORY": "/run/a"}, 0, None),
        ("/x/y.sock", {"RUNTIME_DIRECTORY": "/run/a"}, 0, "/x/y.sock"),
        ("auto", {"RUNTIME_DIRECTORY": "/run/a", "XDG_RUNTIME_DIR": "/run/user/7"}, 0, "/run/a/asyncnic0.sock"),
        ("auto", {"RUNTIME_DIRECTORY": "/run/a:/run/b"}, 7, "/run/a/asyncnic0.sock"),
        ("auto", {"XDG_RUNTIME_DIR": "/run/user/0"}, 0, "/run/asyncnic/asyncnic0.sock"),
        ("auto", {"XDG_RUNTIME_DIR": "/run/user/7"}, 7, "/run/user/7/asyncnic/asyncnic0.sock"),
        ("auto", {}, 7, None),
    ],
)
def test_where_it_lies(setting: str, environ: dict[str, str], uid: int, expected: str | None) -> None:
    assert place(setting, DEVICE, environ, uid) == (Path(expected) if expected else None)


def test_only_the_owner_may_connect(tmp_path: Path) -> None:
    path = tmp_path / "made" / "a.sock"
    before = os.umask(0)
    try:
        made = ControlSocket(path)
        assert os.umask(0) == 0  # and the process's umask is as it was
    finally:
        os.umask(before)
    made.socket.listen()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.chmod(0o711)
    tmp_path.chmod(0o711)
    assert answers(path)
    probe = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    shown = subprocess.run(
        ["setpriv", "--reuid", "65534", "--clear-groups", "/usr/bin/env", "python3", "-c", probe],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError" in shown.stderr
    made.socket.close()
    made.remove()
    assert not path.exists()
    made.remove()


def test_what_a_killed_service_left_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    ControlSocket(path).socket.close()
    assert path.is_socket()
    assert not answers(path)
    second = ControlSocket(path)
    second.socket.listen()
    with pytest.raises(OSError, match="in use"):
        ControlSocket(path)
    assert answers(path)
    second.socket.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        ControlSocket(path)
    assert path.read_text() == "precious"


def test_somebody_elses_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    first = ControlSocket(path)
    first.socket.close()
    second = ControlSocket(path)
    first.remove()
    assert path.is_socket()
    second.socket.close()


def test_a_path_without_a_place_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ControlSocket(tmp_path / "no" / "where" / "a.sock")
    with pytest.raises(OSError, match="too long"):
        ControlSocket(tmp_path / ("x" * 200))


def test_only_sockets_that_answer_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "SYSTEM", tmp_path / "system")
    manager, user = tmp_path / "manager", tmp_path / "user"
    environ = {"RUNTIME_DIRECTORY": str(manager), "XDG_RUNTIME_DIR": str(user)}
    assert find(environ) == []
    user.mkdir()
    made = [ControlSocket(path) for path in (manager / "b.sock", manager / "a.sock", user / "asyncnic" / "c.sock")]
    dead = ControlSocket(manager / "dead.sock")
    dead.socket.close()
    for each in made:
        each.socket.listen()
    assert find(environ) == [manager / "a.sock", manager / "b.sock", user / "asyncnic" / "c.sock"]
    assert find({}) == []
    for each in made:
        each.socket.close()


def test_a_probe_is_no_connection_that_stays(tmp_path: Path) -> None:
    made = ControlSocket(tmp_path / "a.sock")
    made.socket.listen()
    assert answers(made.path)
    peer, _ = made.socket.accept()
    assert peer.recv(1) == b""
    peer.close()
    made.socket.close()


def _make(kind: str, folder: Path) -> Path:
    path = folder / "a.sock"
    if kind == "file":
        path.write_text("")
    elif kind == "directory":
        path.mkdir()
    elif kind == "left":
        ControlSocket(path).socket.close()
    elif kind == "parent is missing":
        path = folder / "made" / "a.sock"
    elif kind == "parents are missing":
        path = folder / "no" / "no" / "a.sock"
    elif kind == "parent is a file":
        (folder / "file").write_text("")
        path = folder / "file" / "a.sock"
    elif kind == "long":
        path = folder / ("a" * 108)
    return path


@pytest.mark.parametrize(
    ("kind", "free"),
    [
        *(("nothing", True), ("left", True), ("parent is missing", True)),
        *(("file", False), ("directory", False), ("long", False)),
        *(("parents are missing", False), ("parent is a file", False)),
    ],
)
def test_what_is_foreseen_of_a_place_is_what_happens_there(tmp_path: Path, kind: str, free: bool) -> None:
    path = _make(kind, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    foreseen = control.obstacle(path)
    assert sorted(tmp_path.rglob("*")) == before
    try:
        made = ControlSocket(path)
    except OSError:
        assert (bool(foreseen), free) == (True, False)
    else:
        assert (foreseen, free) == ("", True)
        made.socket.listen()
        assert control.obstacle(path) == "another service listens there"
        made.socket.close()
        made.remove()
