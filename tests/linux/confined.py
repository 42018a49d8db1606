"""Python programs that take something from themselves and then try it, each in a process of its own."""

import subprocess
import sys

_PRELUDE = """
import errno, os, socket, sys
from pathlib import Path
def tried(what):
    try:
        what()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
"""


def said(program: str, *arguments: str) -> list[str]:
    """The lines that `program` printed; `tried` in it calls something and says "done", or the name of the error."""
    command = [sys.executable, "-c", _PRELUDE + program, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()
