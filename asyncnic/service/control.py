"""The control socket: a Unix socket on which the service's HTTP is open to the user it runs as, for changing it.

Who may connect is a matter of the file's mode (0600) and of nothing else: no password, no TLS. Here is where the socket
lies, how it is made and how a client finds it; what is said on it is `asyncnic.web.server`'s.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

AUTO = "auto"
SYSTEM = Path("/run/asyncnic")
"""Where services of root have their sockets."""
LONGEST = 107
"""Octets that the address of a Unix socket has room for: unix(7)."""


def place(control: str, device: str, environ: Mapping[str, str], uid: int) -> Path | None:
    """Where the socket of a service belongs; None: nowhere.

    Args:
        control: the setting: a path, "auto" or "".
        device: the setting, like "tap:asyncnic0"; "auto" names the socket after it.
        environ: RUNTIME_DIRECTORY (systemd's RuntimeDirectory=) and XDG_RUNTIME_DIR are looked at.
        uid: the effective user of the service.
    """
    if control != AUTO:
        return Path(control) if control else None
    directory = _of_manager(environ) or (SYSTEM if uid == 0 else _of_user(environ))
    return directory / f"{device.partition(':')[2]}.sock" if directory is not None else None


def find(environ: Mapping[str, str]) -> list[Path]:
    """The sockets in the places of "auto" behind which a service listens to this user."""
    places = dict.fromkeys((_of_manager(environ), SYSTEM, _of_user(environ)))
    return [path for directory in places if directory is not None for path in _sockets(directory) if answers(path)]


def answers(path: Path) -> bool:
    """Whether somebody listens at `path`, and lets this user connect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def obstacle(path: Path) -> str:
    """Why `ControlSocket` could not be made at `path`, in a few words; empty: it could. Nothing is changed."""
    if len(os.fsencode(path)) > LONGEST:
        return f"the path has more than {LONGEST} octets"
    try:
        if not _is_socket(path):
            return "something else is there"
        if answers(path):
            return "another service listens there"
    except FileNotFoundError:
        pass  # as it should be; the directory may be missing too
    except OSError as error:
        return error.strerror or str(error)
    directory = path.parent if path.parent.exists() else path.parent.parent
    if not directory.is_dir():
        return f"{directory} is no directory"
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return f"{directory} may not be written to"
    return ""


class ControlSocket:
    """A socket at `path`, mode 0600, bound and not yet listening; what a service that was killed left there is
    replaced. Its directory is made (0700) where it is missing.

    Raises:
        OSError: it cannot be made there; EADDRINUSE: another service listens there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._bind()
            self._made = _identity(path)
        except BaseException:
            self.socket.close()
            raise

    def _bind(self) -> None:
        # The mode counts from the first moment on: a chmod afterwards would come too late.
        before = os.umask(0o177)
        try:
            try:
                self.socket.bind(str(self.path))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not _is_socket(self.path) or answers(self.path):
                    raise
                self.path.unlink()
                self.socket.bind(str(self.path))
        finally:
            os.umask(before)

    def remove(self) -> None:
        """Take the socket off the file system, unless somebody else's is there by now."""
        try:
            if _identity(self.path) == self._made:
                self.path.unlink()
        except OSError:
            pass  # gone, or its directory is


def _of_manager(environ: Mapping[str, str]) -> Path | None:
    # systemd.exec(5): several directories are separated by colons.
    first = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(first) if first else None


def _of_user(environ: Mapping[str, str]) -> Path | None:
    runtime = environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "asyncnic" if runtime else None


def _sockets(directory: Path) -> Iterator[Path]:
    try:
        found = sorted(directory.glob("*.sock"))
    except OSError:
        return
    yield from found


def _is_socket(path: Path) -> bool:
    return stat.S_ISSOCK(path.lstat().st_mode)


def _identity(path: Path) -> tuple[int, int]:
    """What tells a file from another that has its name later: the inode alone may be used again."""
    status = path.lstat()
    return status.st_ino, status.st_mtime_ns
