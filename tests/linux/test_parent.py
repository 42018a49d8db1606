"""A child that ends with its parent: killed with it, and told when it came too late."""

import subprocess
import sys

from tests.system.service import wait_until

PARENT = """
import os, subprocess, sys
child = '''
import os, sys, time
from asyncnic.linux.parent import end_with
print(os.getpid(), end_with(int(sys.argv[1])), flush=True)
time.sleep(3600)
'''
subprocess.run([sys.executable, "-c", child, str(os.getpid())])
"""


def test_it_is_killed_when_its_parent_is() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    number, in_time = parent.stdout.readline().split()
    assert in_time == "True"
    parent.kill()
    parent.communicate(timeout=60)  # the pipe is the child's too: it is at its end when both are gone
    wait_until(lambda: _is_dead(int(number)), "it is dead")  # a little after its pipe is closed


def _is_dead(number: int) -> bool:
    """Whether it is gone, or waited for only."""
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_one_that_comes_too_late_is_told() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "from asyncnic.linux.parent import end_with; print(end_with(1 << 22))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "False\n"
