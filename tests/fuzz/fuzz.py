"""Fuzzes targets with atheris, for a time, from their seeds: `python -m tests.fuzz.fuzz [TARGET...] [--seconds N]`.

Coverage is that of the package in plain Python. What breaks an invariant is kept as a file, its traceback is on stderr,
and the exit code is 1. For each target a line says how many trials there were. Nothing here knows what is tried.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

_EXECUTIONS = re.compile(r"^Done (\d+) runs", re.M)
_LAST = re.compile(r"^#(\d+)\s", re.M)


def run(name: str, seconds: int, keep: Path, trials: int = 0) -> tuple[int, str]:
    """Fuzz `name` in a process of its own: trials, and what it said if an invariant broke (else empty).

    With a number of `trials` they are the same ones each time.
    """
    keep.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.fuzz", name, "--seconds", str(seconds), "--keep", str(keep), "--here"]
    command += ["--trials", str(trials)] if trials else []
    done = subprocess.run(
        command, env=os.environ | {"ASYNCNIC_HOT_PATH": "plain"}, capture_output=True, text=True, check=False
    )
    said = done.stderr + done.stdout
    counted = _EXECUTIONS.findall(said) or _LAST.findall(said)
    return int(counted[-1]) if counted else 0, said if done.returncode else ""


def here(name: str, seconds: int, keep: Path, trials: int) -> None:
    """Fuzz `name` in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["asyncnic"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    with TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / f"seed{number}").write_bytes(seed)
        options = [
            f"-max_total_time={seconds}",
            "-max_len=8192",
            "-timeout=60",
            f"-artifact_prefix={keep}/",
            "-print_final_stats=1",
        ]
        options += ["-seed=1", f"-runs={trials}"] if trials else []
        atheris.Setup([sys.argv[0], *options, corpus], target.trial)
        atheris.Fuzz()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("target", nargs="*", help="what to fuzz; none: everything")
    parser.add_argument("--seconds", type=int, default=600, help="of each target")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="where inputs that broke something go")
    parser.add_argument("--trials", type=int, default=0, help="so many, the same each time; 0: by chance, for the time")
    parser.add_argument("--here", action="store_true", help="in this process")
    given = parser.parse_args()
    if given.here:
        here(given.target[0], given.seconds, given.keep, given.trials)
        return 0
    from tests.fuzz.targets import TARGETS

    found = False
    for name in given.target or TARGETS:
        trials, broken = run(name, given.seconds, given.keep, given.trials)
        print(f"{name}: {TARGETS[name].holds}: {trials} trials, {'BROKEN' if broken else 'holds'}", flush=True)
        if broken:
            found = True
            print(broken[-4000:], file=sys.stderr)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
