"""The service under a memory limit while a crowd looks at it: it is not killed, all are answered, the law holds."""

import selectors
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.system.cgroup import memory_limit
from tests.system.flood import flood
from tests.system.service import Run, Service, wait_until
from tests.system.test_http import make_certificate

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
SMALL = 96 * MIB
CROWD = 60.0
"""Seconds that the last of a crowd may wait for its answer on a busy machine."""

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("many_descriptors")]


def kubernetes_limit() -> int:
    """Octets that the manifest gives to the container of the service."""
    documents = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "daemonset.yaml").read_text())
    containers = [
        container
        for document in documents
        if document["kind"] == "DaemonSet"
        for container in document["spec"]["template"]["spec"]["containers"]
    ]
    (limit,) = [container["resources"]["limits"]["memory"] for container in containers]
    assert limit.endswith("Mi")
    return int(limit.removesuffix("Mi")) * MIB


@contextmanager
def connected(service: Service, count: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections to the service's HTTP at once, on each of which `said` is said."""
    place = urlsplit(service.url)
    assert place.hostname
    assert place.port
    with ExitStack() as stack:
        crowd = []
        for _ in range(count):
            crowd.append(stack.enter_context(socket.create_connection((place.hostname, place.port), CROWD)))
            crowd[-1].sendall(said)
        yield crowd


def scraped(service: Service, count: int) -> list[bytes]:
    """The answers to so many scrapes, all asked before the first answer is read; each is read as it comes."""
    ask = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with connected(service, count, ask) as crowd, selectors.DefaultSelector() as selector:
        answers = [b""] * count
        for number, one in enumerate(crowd):
            selector.register(one, selectors.EVENT_READ, number)
        while selector.get_map():
            ready = selector.select(CROWD)
            assert ready, f"{len(selector.get_map())} of {count} wait for an answer"
            for key, _ in ready:
                piece = crowd[key.data].recv(1 << 16)
                answers[key.data] += piece
                if not piece:
                    selector.unregister(key.fileobj)
                    crowd[key.data].close()
    return answers


@pytest.mark.parametrize("limit", [SMALL, kubernetes_limit()])
def test_a_crowd_does_not_cost_the_service_its_life(run: Run, limit: int) -> None:
    with memory_limit(limit) as memory:
        with run("--service", "udp-discard:9", prefix=memory.prefix) as service:
            with flood(20_000):
                wait_until(lambda: service.stats()["delivered"] > 1000, "frames flow")
                for count in (1000, 4000):
                    answers = scraped(service, count)
                    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
                    assert all(b"asyncnic_offered_frames_total" in answer for answer in answers)
                with connected(service, 4000):  # who say nothing
                    assert service.ask("/-/healthy")[0] == 200
            assert service.settled()["delivered"] > 1000
            print(f"peak {memory.peak / MIB:.1f} MiB of {limit / MIB:.0f}")
        assert memory.kills == 0


HELLO = bytes.fromhex("16030105000100") + bytes(500)
"""The beginning of a ClientHello (RFC 8446 section 4.1.2), whose rest does not come."""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_crowd_over_tls_does_not_cost_the_service_its_life(run: Run, tmp_path: Path, loop: str) -> None:
    """A thousand who begin TLS and go on with nothing, and among them two hundred who want an answer, 16 at a time."""
    certificate = make_certificate(tmp_path)
    config = tmp_path / "web.yml"
    config.write_text("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
    with memory_limit(SMALL) as memory:
        with run("--loop", loop, "--web-config", str(config), prefix=memory.prefix) as service:
            service.authenticate("me", "", certificate)
            with connected(service, 1000, HELLO), ThreadPoolExecutor(16) as threads:
                answers = list(threads.map(lambda _: patient(service, "/metrics"), range(200)))
            assert all(status == 200 and "asyncnic_offered_frames_total" in text for status, text in answers)
            print(f"peak {memory.peak / MIB:.1f} MiB of {SMALL / MIB:.0f}")
        assert memory.kills == 0


def patient(service: Service, path: str) -> tuple[int, str]:
    """An answer, asked for until there is one: who waits in a crowd may be ended in the handshake."""

    def ask() -> tuple[int, str] | None:
        try:
            return service.ask(path)
        except OSError:
            return None

    return wait_until(ask, f"an answer for {path}", patience=CROWD)
