"""What this program is: its version, and what it runs on. Not a feature list."""

import functools
import platform
from importlib import metadata

from asyncnic.hot import IMPLEMENTATION


@functools.cache
def build_info() -> dict[str, str]:
    """Versions of asyncnic, Python and uvloop, and which twin of the packet path runs ("compiled" or "plain")."""
    return {
        "version": metadata.version("asyncnic"),
        "python": platform.python_version(),
        "uvloop": metadata.version("uvloop"),
        "hot_path": IMPLEMENTATION,
    }
