"""A real client as a load: Debian's dnsperf, and single questions one after the other, against a DNS responder.

It is a process of its own (``python -m asyncnic.bench.dnsperf``) and says the same as the load generator of this
package: `Offered`. With one question outstanding it asks them itself, since dnsperf tells no quantiles.
"""

import argparse
import json
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict

from asyncnic.bench.ages import Ages
from asyncnic.bench.load import LoadError, Offered

PORT = 9
CLIENTS = 4
TIMEOUT_SECONDS = 2
QUESTION = b"\7example\3org\0\0\1\0\1"
_FIGURES = {
    "sent": r"Queries sent:\s+(\d+)",
    "completed": r"Queries completed:\s+(\d+)",
    "seconds": r"Run time \(s\):\s+([\d.]+)",
    "latency": r"Average Latency \(s\):\s+([\d.]+)",
    "longest": r"max ([\d.]+)\)",
}


def read_report(text: str) -> dict[str, float]:
    """The figures of dnsperf's report.

    Raises:
        LoadError: one is missing.
    """
    found = {name: re.search(pattern, text) for name, pattern in _FIGURES.items()}
    missing = [name for name, match in found.items() if match is None]
    if missing:
        lines = text.strip().splitlines()
        raise LoadError(f"dnsperf does not say {', '.join(missing)}: {lines[-1] if lines else 'it says nothing'}")
    return {name: float(match[1]) for name, match in found.items() if match is not None}


def run_dnsperf(target: str, seconds: float, outstanding: int, rate: float | None) -> Offered:
    """Let dnsperf ask for `seconds`.

    Raises:
        LoadError: it is not installed, or does not report.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".dns") as questions:
        questions.write("example.org A\n")
        questions.flush()
        command = ["dnsperf", "-s", target, "-p", str(PORT), "-d", questions.name, "-l", f"{max(1, round(seconds))}"]
        command += ["-q", str(outstanding), "-c", str(CLIENTS), "-t", str(TIMEOUT_SECONDS)]
        command += [] if rate is None else ["-Q", f"{rate:.0f}"]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise LoadError("dnsperf is not installed: apt install dnsperf") from None
    figures = read_report(ended.stdout + ended.stderr)
    sent, seconds = int(figures["sent"]), figures["seconds"]
    trips: dict[str, float | None] = {"mean": figures["latency"], "max": figures["longest"]}
    answers = int(figures["completed"])
    return Offered(sent, 0, seconds, 0.0, sent / seconds, 0, 0, answers, trips)


def ask_singly(target: str, seconds: float) -> Offered:
    """Ask one question after the other for `seconds`; an answer that does not come in time is lost."""
    ages, sent = Ages(), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_SECONDS)
        sock.connect((target, PORT))
        start = time.monotonic()
        while (passed := time.monotonic() - start) < seconds:
            number = sent & 0xFFFF
            sent += 1
            begun = time.monotonic_ns()
            sock.send(struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + QUESTION)
            try:
                answer = sock.recv(512)
            except OSError:
                continue
            if answer[:2] == number.to_bytes(2, "big"):
                ages.add(time.monotonic_ns() - begun)
    trips = ages.as_json()
    return Offered(sent, 0, passed, 0.0, sent / passed, 0, 0, ages.count, trips)


def main() -> int:
    """Entry point: the `Offered` as one line of JSON and exit code 0, or one line why not and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m asyncnic.bench.dnsperf", description="Ask a DNS responder.")
    parser.add_argument("target", help="address to ask")
    parser.add_argument("--seconds", type=float, required=True, help="how long")
    parser.add_argument("--outstanding", type=int, required=True, help="questions without an answer, at most")
    parser.add_argument("--rate", type=float, help="questions a second, at most")
    parser.add_argument(
        "--wait", action="store_true", help='say "ready", then start at the first line on standard input'
    )
    options = parser.parse_args()
    if options.wait:
        print("ready", flush=True)
        if not sys.stdin.readline():
            return 1
    try:
        if options.outstanding == 1:
            done = ask_singly(options.target, options.seconds)
        else:
            done = run_dnsperf(options.target, options.seconds, options.outstanding, options.rate)
    except (LoadError, OSError) as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(done)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
