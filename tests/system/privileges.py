"""Commands that run a command with fewer privileges, or with another /dev/net/tun: prefixes for `service.running`.

Everything happens in a mount namespace of the child's own; what the machine has stays as it is.
"""

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT_OF_CHECKOUT = Path(__file__).parents[2]
USER = 12345
"""A user id that nobody has."""

NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
"""Root in name, without a single capability."""


def with_tun(mode: str | None) -> list[str]:
    """With a /dev/net/tun of these permissions (octal), or without any (None)."""
    return _mounted(_tun(mode))


def as_user(mode: str = "666") -> list[str]:
    """As a user who is not root, with a /dev/net/tun of these permissions, and who can read Python and this checkout
    wherever they are."""
    return [*_mounted([*_tun(mode), *_readable()]), "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]


def _mounted(commands: list[str]) -> list[str]:
    return ["unshare", "-m", "sh", "-ec", "\n".join([*commands, 'exec "$@"']), "sh"]


def _tun(mode: str | None) -> list[str]:
    commands = ["mount -t tmpfs none /dev/net"]
    return commands if mode is None else [*commands, "mknod /dev/net/tun c 10 200", f"chmod {mode} /dev/net/tun"]


def _readable() -> Iterator[str]:
    """Show the folders that Python needs through closed ones above them (as /root is): these are covered by empty ones
    on which the folders are mounted again."""
    needed = sorted({str(Path(folder).resolve()) for folder in (sys.base_prefix, sys.prefix, ROOT_OF_CHECKOUT)})
    hidden = [(folder, closed) for folder in needed if (closed := _closed_above(Path(folder)))]
    if not hidden:
        return
    yield "keep=$(mktemp -d)"
    for number, (folder, _) in enumerate(hidden):
        yield f'mkdir "$keep/{number}"; mount --bind {shlex.quote(folder)} "$keep/{number}"'
    for above in sorted({str(closed) for _, closed in hidden}):
        yield f"mount -t tmpfs -o mode=755 none {shlex.quote(above)}"
    for number, (folder, _) in enumerate(hidden):
        yield f'mkdir -p {shlex.quote(folder)}; mount --bind "$keep/{number}" {shlex.quote(folder)}'


def _closed_above(folder: Path) -> Path | None:
    """The topmost folder on the way that others may not pass."""
    for parent in reversed([folder, *folder.parents]):
        if not os.stat(parent).st_mode & 0o001:
            return parent
    return None
