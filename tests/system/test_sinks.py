"""Sinks against real brokers: what the broker acknowledged is there, and everything else is accounted for."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from asyncnic.bench.load import STAMP
from tests.sinks.brokers import NatsServer, RedisServer, identity, only, serving
from tests.system.service import ASYNCNIC, HOST, MAC, PEER, Run, Service, asyncnic, program, wait_until

BOTH = pytest.mark.parametrize("kind", ["nats", "redis"])
COUNT = int(os.environ.get("SINK_DATAGRAMS", "100000"))
"""Datagrams of the long run. A million takes minutes: `SINK_DATAGRAMS=1000000`."""
RATE = os.environ.get("SINK_RATE", "8000")
"""How many of them come a second: what the machine bears."""
SIZES = "60,200,590,1400"
LONG_QUEUE = ("--tap-queue", "65536", "--target-age", "0us")
"""A wire that holds what a busy machine cannot take at once: a run in which nothing may be lost loses nothing."""


def offer(*arguments: str) -> subprocess.Popen[str]:
    """The benches' sender, once the kernel knows the way to the sink: while it asks, it drops uncounted."""
    program("ping", "-n", "-c", "1", "-W", "10", HOST)
    command = [sys.executable, "-m", "asyncnic.bench.load", HOST, "--port", "514", "--flows", "8", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def sent(sender: subprocess.Popen[str]) -> int:
    """Datagrams that it has sent, once it has ended."""
    out, _ = sender.communicate(timeout=1200)
    assert sender.returncode == 0
    return int(json.loads(out)["datagrams"])


def emptied(service: Service) -> dict[str, Any]:
    """The sink's ledger once nothing is under way, on the wire or in flight; both laws held at every look."""
    service.settled()
    return wait_until(lambda: sink if not (sink := only(service.stats()))["in_flight"] else None, "acknowledged", 60)


def numbers(entries: Sequence[tuple[dict[str, str], bytes]]) -> list[int]:
    """The sender's numbers of what a stream holds."""
    return [STAMP.unpack_from(data)[0] for _, data in entries]


def acknowledged(service: Service, more_than: int) -> int:
    """How many datagrams are, if they are more than so many."""
    found = int(only(service.stats())["acknowledged"])
    return found if found > more_than else 0


@contextmanager
def unready(tap: str, log: Path, *flags: str) -> Iterator[Service]:
    """The service, serving HTTP, whether it is ready or not."""
    command = [ASYNCNIC, "run", "--device", f"tap:{tap}", "--mac", MAC, "--listen", "127.0.0.1:0", *flags]
    service = Service(tap, log, command, {}, None)
    try:
        found = wait_until(lambda: re.search(r"serving HTTP url=(\S+)/", service.log), "it serves HTTP")
        service.url = found[1]
        yield service
    finally:
        service.kill()


def ready(service: Service) -> bool:
    return service.ask("/-/ready")[0] == 200


@BOTH
def test_datagrams_are_there_with_where_they_came_from_and_when(kind: str, run: Run, tmp_path: Path) -> None:
    with serving(kind, tmp_path) as server, run("--service", server.service) as service:
        begun = time.time_ns()
        for text in ("first", "second"):
            subprocess.run(["nc", "-u", "-w1", "-s", PEER, HOST, "514"], input=text, text=True, check=True)
        assert wait_until(lambda: only(service.stats())["acknowledged"] == 2, "two datagrams")
        (headers, data), (_, other) = server.entries()
        assert (data, other) == (b"first", b"second")
        named = {name.removeprefix("Asyncnic-").lower(): value for name, value in headers.items()}
        assert named["local"] == f"{HOST}:514"
        assert named["source"].startswith(f"{PEER}:")
        assert begun < int(named["time"]) < time.time_ns()
        assert identity(headers).endswith("-0")
        assert f'outcome="acknowledged",sink="{server.service}"}} 2.0' in service.ask("/metrics")[1]
        assert "up" in asyncnic("stats", "--url", service.url).stdout
        assert only(service.terminate())["acknowledged"] == 2


@BOTH
def test_every_datagram_of_a_long_run_is_there(kind: str, run: Run, tmp_path: Path) -> None:
    with serving(kind, tmp_path) as server, run("--service", server.service, *LONG_QUEUE) as service:
        assert sent(offer("--count", str(COUNT), "--rate", RATE, "--frame", SIZES)) == COUNT
        sink = emptied(service)
        assert (sink["received"], sink["acknowledged"]) == (COUNT, COUNT)
        assert sorted(numbers(server.entries())) == list(range(COUNT))
        print(f"{kind}: {COUNT} datagrams at {RATE}/s: {sink}")


@BOTH
def test_flat_out_both_laws_hold_to_the_frame(kind: str, run: Run, tmp_path: Path) -> None:
    with serving(kind, tmp_path) as server, run("--service", server.service, "--sink-window", "64") as service:
        sender = offer("--seconds", "3", "--frame", SIZES)
        most = 0
        while sender.poll() is None:
            most = max(most, only(service.stats())["in_flight"])
        sent(sender)
        sink = emptied(service)
        stats = service.settled()
        assert 0 < most <= 64
        assert sink["window_waits"] > 0
        assert stats["dropped"]["kernel"] > 0
        assert sink["received"] == sink["acknowledged"] == stats["stack"]["udp"]["delivered"]
        assert len(set(numbers(server.entries()))) == len(server.entries()) == sink["acknowledged"]


@BOTH
def test_a_server_killed_in_the_flood_and_started_again_has_all_that_was_acknowledged(
    kind: str, run: Run, tmp_path: Path
) -> None:
    with serving(kind, tmp_path) as server, run("--service", server.service) as service:
        sender = offer("--seconds", "8", "--rate", "5000")
        for goal in (2000, 4000):
            before = wait_until(partial(acknowledged, service, goal), "acknowledgements")
            server.kill()
            wait_until(lambda: not ready(service), "not ready")
            assert "sink 514=" in service.ask("/-/ready")[1]
            assert only(service.stats())["up"] is False
            server.start()
            wait_until(lambda: ready(service), "ready again")
            wait_until(partial(acknowledged, service, before), "it goes on")
        sent(sender)
        sink = emptied(service)
        assert sink["received"] == sink["acknowledged"]
        entries = server.entries()
        assert len({identity(headers) for headers, _ in entries}) == sink["acknowledged"]
        doubled = len(entries) - sink["acknowledged"]
        assert 0 <= doubled <= sink["republished"]
        assert kind == "redis" or not doubled  # the stream knows what it has already


@BOTH
def test_a_broker_that_is_gone_stops_the_wire_and_the_end_says_what_was_not_acknowledged(
    kind: str, run: Run, tmp_path: Path
) -> None:
    with serving(kind, tmp_path) as server, run("--service", server.service, "--sink-window", "100") as service:
        server.kill()
        sent(offer("--count", "5000", "--rate", "10000"))
        wait_until(lambda: only(service.stats())["in_flight"] == 100, "the window is full")
        assert not ready(service)
        stats = service.stats()
        assert stats["delivered"] < 1000 < stats["dropped"]["kernel"]
        began = time.monotonic()
        final = service.terminate()
        assert time.monotonic() - began < 10
        sink = only(final)
        assert sink["acknowledged"] == 0
        assert sink["failed"]["given_up"] == sink["received"] >= 100
        assert final["in_flight"] == 0


def test_a_full_stream_is_left_alone_until_it_has_room(run: Run, tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    try:
        server.start()
        server.add_full_stream(500)
        with run("--service", server.service) as service:
            sent(offer("--count", "900", "--rate", "2000"))
            wait_until(lambda: "maximum messages exceeded" in service.ask("/-/ready")[1], "said")
            sink = only(service.stats())
            assert (sink["acknowledged"], sink["in_flight"], sink["up"]) == (500, 400, False)
            server.make_room()
            assert emptied(service)["acknowledged"] == 900
            wait_until(lambda: ready(service), "ready")
    finally:
        server.kill()


def test_a_subject_that_no_stream_has_is_said_and_served_once_there_is_one(run: Run, tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    try:
        server.start()
        with run("--service", server.service) as service:
            sent(offer("--count", "10"))
            wait_until(lambda: "no stream has the subject syslog" in service.ask("/-/ready")[1], "said")
            server.add_stream()
            assert emptied(service)["acknowledged"] == 10
    finally:
        server.kill()


def test_a_datagram_that_the_stream_refuses_is_failed_and_holds_up_no_other(run: Run, tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    try:
        server.start()
        server.add_stream(max_msg_size=400)
        with run("--service", server.service, *LONG_QUEUE) as service:
            assert sent(offer("--count", "400", "--frame", "60,1400", "--rate", "2000")) == 400
            sink = emptied(service)
            refused = sink["failed"]["refused"]
            assert 0 < refused < 400
            assert sink["acknowledged"] == 400 - refused == len(server.entries())
            wait_until(lambda: ready(service), "ready")
    finally:
        server.kill()


def test_redis_out_of_memory_is_left_alone_until_it_has_some(run: Run, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    try:
        server.start()
        with run("--service", server.service) as service:
            server.client().config_set("maxmemory", "1")
            sent(offer("--count", "100", "--rate", "2000"))
            wait_until(lambda: "maxmemory" in service.ask("/-/ready")[1], "said")
            assert only(service.stats())["in_flight"] == 100
            server.client().config_set("maxmemory", "0")
            assert emptied(service)["acknowledged"] == 100
    finally:
        server.kill()


def test_a_stream_of_redis_is_trimmed_to_about_maxlen(run: Run, tmp_path: Path) -> None:
    trimmed = "?maxlen=1000"
    with serving("redis", tmp_path) as server, run("--service", server.service + trimmed, *LONG_QUEUE) as service:
        sent(offer("--count", "5000", "--rate", "5000"))
        assert emptied(service)["acknowledged"] == 5000
        assert 1000 <= len(server.entries()) < 1300


SECRET = "s3cret"


@pytest.mark.parametrize(
    ("kind", "more", "user"),
    [
        ("nats", "authorization { user: me, password: s3cret }", "me"),
        ("nats", "authorization { token: s3cret }", ""),
        ("redis", "--requirepass s3cret", ""),
    ],
)
def test_wrong_credentials_are_said_and_right_ones_work_and_none_is_shown(
    kind: str, more: str, user: str, tap_name: str, tmp_path: Path
) -> None:
    token = kind == "nats" and not user
    server = NatsServer(tmp_path, more) if kind == "nats" else RedisServer(tmp_path, *more.split())
    server.options = (
        {"token": SECRET} if token else {"user": user, "password": SECRET} if user else {"password": SECRET}
    )
    try:
        server.start()
        server.add_stream()
        for password, good in (("wr0ng", False), (SECRET, True)):
            login = password if token else f"{user}:{password}"
            flags = ("--service", server.service.replace("://", f"://{login}@"), "--log-level", "debug")
            with unready(tap_name, tmp_path / password, *flags) as service:
                wait_until(lambda: "not connected yet" not in service.ask("/-/ready")[1], "it has tried")
                sent(offer("--count", "3", "--rate", "1000"))
                if good:
                    wait_until(lambda: only(service.stats())["acknowledged"] == 3, "acknowledged")
                else:
                    wait_until(lambda: only(service.stats())["in_flight"] == 3, "kept")
                    assert not ready(service)
                shown = "".join(service.ask(path)[1] for path in ("/metrics", "/api/v1/stats", "/-/ready"))
                service.terminate()
                assert password not in shown + service.log
    finally:
        server.kill()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-days", "2", "-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@BOTH
def test_tls_is_verified(kind: str, tap_name: str, run: Run, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    if kind == "nats":
        server: NatsServer | RedisServer = NatsServer(tmp_path, f'tls {{ cert_file: "{cert}", key_file: "{key}" }}')
        server.options = {"tls": ssl.create_default_context(cafile=str(cert))}
        url = server.service.replace("nats://", "tls://")
    else:
        server = RedisServer(tmp_path, "--tls-cert-file", str(cert), "--tls-key-file", str(key))
        encrypted = ("--tls-auth-clients", "no", "--port", "0", "--tls-port", str(server.port))
        server.command = [*server.command, *encrypted]
        server.options = {"ssl": True, "ssl_ca_certs": str(cert)}
        url = server.service.replace("redis://", "rediss://")
    try:
        server.start()
        server.add_stream()
        with run("--service", f"{url}?ca={cert}") as service:
            sent(offer("--count", "3", "--rate", "1000"))
            wait_until(lambda: only(service.stats())["acknowledged"] == 3, "acknowledged")
        with unready(tap_name, tmp_path / "unknown", "--service", url) as service:
            wait_until(lambda: "certificate" in service.ask("/-/ready")[1].lower(), "said")
    finally:
        server.kill()


@BOTH
def test_a_server_that_stands_still_is_said_and_served_when_it_goes_on(kind: str, run: Run, tmp_path: Path) -> None:
    with serving(kind, tmp_path) as server, run("--service", server.service) as service:
        sent(offer("--count", "10", "--rate", "1000"))
        emptied(service)
        server.signal(signal.SIGSTOP)
        sent(offer("--count", "10", "--rate", "1000"))
        wait_until(lambda: not ready(service), "said", 30)
        assert only(service.stats())["in_flight"] == 10
        server.signal(signal.SIGCONT)
        assert emptied(service)["acknowledged"] == 20
        assert len({identity(headers) for headers, _ in server.entries()}) == 20


def test_workers_have_a_sink_each_and_are_added_up(run: Run, tmp_path: Path) -> None:
    two = ("--workers", "2", *LONG_QUEUE)
    with serving("nats", tmp_path) as server, run("--service", server.service, *two) as service:
        assert sent(offer("--count", "2000", "--rate", "4000")) == 2000
        assert wait_until(lambda: only(service.stats())["acknowledged"] == 2000, "acknowledged")
        assert len(server.entries()) == 2000
        assert only(service.terminate())["acknowledged"] == 2000


def test_without_the_extra_run_and_check_name_it(tmp_path: Path) -> None:
    """As if the client library were not installed: a module of its name that cannot be imported."""
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "__init__.py").write_text("raise ModuleNotFoundError('nats', name='nats')\n")
    flags = ("--device", "tap:sinknone", "--service", "514=nats://me:s3cret@127.0.0.1/syslog")
    for command in ("run", "check"):
        result = asyncnic(command, *flags, env={"PYTHONPATH": str(tmp_path)})
        assert result.returncode == 2
        assert "pip install 'asyncnic[sinks]'" in result.stdout + result.stderr
        assert "s3cret" not in result.stdout + result.stderr
        assert "Traceback" not in result.stderr


def test_a_certificate_that_cannot_be_read_ends_the_start() -> None:
    result = asyncnic("run", "--device", "tap:sinknone", "--service", "514=tls://127.0.0.1/syslog?ca=/nowhere.pem")
    assert result.returncode == 2
    assert "/nowhere.pem: No such file" in result.stderr
