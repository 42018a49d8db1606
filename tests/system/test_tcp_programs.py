"""Programs nobody here wrote, on TCP as a library has it: openssl, curl, iperf 2 and ssh on one side of the TAP, and on
the other asyncio's protocols, aiohttp and asyncssh as they come, on the stack's own calls.
"""

import asyncio
import hashlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, cast

import asyncssh
import pytest
from aiohttp import web

import asyncnic
from asyncnic.stacks.inet.skin import InetStack
from asyncnic.stacks.inet.stack import Inet
from tests.system.service import HOST, PATIENCE, PEER
from tests.system.tcp_site import octets
from tests.system.test_http import make_certificate
from tests.wire import ETH_P_ALL

MEGABYTE = 1_000_000
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35


@asynccontextmanager
async def host_on(tap: str) -> AsyncIterator[Inet]:
    """A host with the service's address on a TAP, whose other end is the kernel's. Every frame is accounted for."""
    async with asyncnic.open_nic(f"tap:{tap}", host_address=f"{PEER}/24") as nic:
        stack = InetStack(nic, [ip_interface(f"{HOST}/24")])
        running = asyncio.create_task(stack.run())
        try:
            yield stack.inet
            assert nic.ledger().imbalance == 0
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def program(*command: str, given: bytes = b"") -> bytes:
    """Run somebody else's program to its end; its standard output."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(PATIENCE):
            said, complained = await child.communicate(given)
    except TimeoutError:
        child.kill()
        raise
    assert child.returncode == 0, f"{command}: exit code {child.returncode}\n{said!r}\n{complained.decode()}"
    return said


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return make_certificate(tmp_path)


def of_server(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.parent / "key.pem")
    return context


class MailServer(asyncio.Protocol):
    """As much of SMTP as it takes to begin TLS (RFC 3207). Then it says a line back in capitals, and goes."""

    def __init__(self, inet: Inet, context: ssl.SSLContext) -> None:
        self._inet = inet
        self._context = context
        self._upgrade: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 mail.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"EHLO"):
            self._transport.write(b"250-mail.example\r\n250 STARTTLS\r\n")
        elif data.startswith(b"STARTTLS"):
            self._transport.write(b"220 go ahead\r\n")
            self._upgrade = asyncio.get_running_loop().create_task(self._begin())

    async def _begin(self) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        secure = await self._inet.start_tls(self._transport, protocol, self._context, server_side=True)
        secure.write((await reader.readline()).upper())
        secure.close()


async def test_openssl_begins_tls_in_the_middle_of_a_connection(tap_name: str, certificate: Path) -> None:
    async with host_on(tap_name) as inet:
        server = of_server(certificate)
        await inet.create_server(lambda: MailServer(inet, server), HOST, 25)
        trust = ("-CAfile", str(certificate), "-verify_return_error", "-verify_hostname", "localhost")
        for version in ("-tls1_2", "-tls1_3"):
            client = ("openssl", "s_client", "-quiet", "-starttls", "smtp", "-connect", f"{HOST}:25", version)
            said = await program(*client, *trust, given=b"all in capitals\n")
            assert said.endswith(b"ALL IN CAPITALS\n")


async def test_we_begin_tls_with_openssls_server(tap_name: str, certificate: Path) -> None:
    """`-rev` has it say each line backwards."""
    key = str(certificate.parent / "key.pem")
    accept = ("-accept", f"{PEER}:4433", "-cert", str(certificate), "-key", key, "-rev")
    async with host_on(tap_name) as inet:
        quiet = asyncio.subprocess.DEVNULL
        server = await asyncio.create_subprocess_exec("openssl", "s_server", *accept, stdout=quiet, stderr=quiet)
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        transport, _ = await inet.create_connection(asyncio.Protocol, PEER, 4433)
                        break
                    except ConnectionRefusedError:
                        await asyncio.sleep(0.05)
                reader = asyncio.StreamReader()
                protocol = asyncio.StreamReaderProtocol(reader)
                trusting = ssl.create_default_context(cafile=certificate)
                secure = await inet.start_tls(transport, protocol, trusting, server_hostname="localhost")
                protocol.connection_made(secure)
                for line in (b"one by one", b"x" * 10_000):
                    secure.write(line + b"\n")
                    assert await reader.readline() == line[::-1] + b"\n"
                secure.close()
        finally:
            server.kill()
            await server.wait()


async def test_curl_gets_and_puts_octets_over_tls(tap_name: str, certificate: Path, tmp_path: Path) -> None:
    size = 5 * MEGABYTE
    (tmp_path / "sent").write_bytes(octets(size))

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PUT":
            digest = hashlib.sha256()
            async for data in request.content.iter_any():
                digest.update(data)
            return web.Response(text=digest.hexdigest())
        return web.Response(body=octets(size))

    async with host_on(tap_name) as inet:
        server = web.Server(answer)
        await inet.create_server(cast(Callable[[], asyncio.Protocol], server), HOST, 443, ssl=of_server(certificate))
        trust = ("--cacert", str(certificate), "--resolve", f"localhost:443:{HOST}", "--noproxy", "*")
        curl = ("curl", "--silent", "--show-error", "--fail", *trust, "https://localhost/")
        assert await program(*curl) == octets(size)
        said = await program(*curl, "--upload-file", str(tmp_path / "sent"))
        assert said.decode() == hashlib.sha256(octets(size)).hexdigest()
        await server.shutdown()


async def test_iperf_sends_to_whoever_discards(tap_name: str) -> None:
    got = 0

    class Counting(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            nonlocal got
            got += len(data)

    async with host_on(tap_name) as inet:
        await inet.create_server(Counting, HOST, 5001)
        said = await program("iperf", "-c", HOST, "-n", "20M", "-y", "C")
        assert int(said.split(b",")[7]) == got == 20 << 20


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Of the ssh client; the public half lies beside it."""
    made = asyncssh.generate_private_key("ssh-ed25519")
    made.write_private_key(tmp_path / "id")
    made.write_public_key(tmp_path / "id.pub")
    (tmp_path / "id").chmod(0o600)
    return tmp_path / "id"


class Below:
    """What asyncssh listens by in place of the loop: the way it goes through other connections."""

    def __init__(self, inet: Inet) -> None:
        self._inet = inet

    async def create_server(self, factory: Callable[[str, int], Any], host: str, port: int) -> Any:
        return await self._inet.create_server(lambda: factory("", 0), host, port)


async def test_ssh_runs_a_command_on_asyncsshs_server(tap_name: str, key: Path) -> None:
    async def run(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        data = await process.stdin.read()
        process.stdout.write(f"{process.command}: {hashlib.sha256(data).hexdigest()}\n".encode() + data)
        process.exit(0)

    async with host_on(tap_name) as inet:
        server = await asyncssh.listen(
            HOST,
            22,
            tunnel=cast(Any, Below(inet)),
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=str(key.with_suffix(".pub")),
            process_factory=run,
            encoding=None,
        )
        habits = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        options = [word for habit in habits for word in ("-o", habit)]
        data = octets(2 * MEGABYTE)
        said = await program("ssh", "-F", "none", *options, "-i", str(key), f"guest@{HOST}", "digest", given=data)
        assert said == f"digest: {hashlib.sha256(data).hexdigest()}\n".encode() + data
        server.close()


def watch(tap: str) -> socket.socket:
    """What passes on a TAP from now on is in this socket's buffer."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.bind((tap, ETH_P_ALL))
    sock.setblocking(False)
    return sock


def write_seen(sock: socket.socket, path: Path) -> None:
    """Write what is in the buffer as a pcap file, with times of the kernel's in nanoseconds."""
    with path.open("wb") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        with suppress(BlockingIOError):
            while True:
                frame, ((_, _, stamp),), _, _ = sock.recvmsg(65536, 64)
                file.write(struct.pack("=IIII", *struct.unpack("=qq", stamp), len(frame), len(frame)) + frame)


class Keeper(asyncio.Protocol):
    """Reads to the end, then says it all: it holds nobody up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._kept: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self._kept.append(data)

    def eof_received(self) -> None:
        self._transport.writelines(self._kept)


@pytest.mark.parametrize("size", [1, 200_000])
async def test_an_expert_finds_nothing_wrong_with_a_transfer(tap_name: str, tmp_path: Path, size: int) -> None:
    """tshark looks at every segment that we sent, and its checksum. It is less than a window: of a peer that is slow to
    read it would warn, and nothing is wrong with that.
    """
    data, capture = octets(size), tmp_path / "transfer.pcap"
    async with host_on(tap_name) as inet:
        await inet.create_server(Keeper, HOST, 7)
        with watch(tap_name) as seen:
            assert await program("nc", "-N", HOST, "7", given=data) == data
            write_seen(seen, capture)
    look = ("tshark", "-r", str(capture), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
    ours = (await program(*look, "-Y", f"tcp && ip.src == {HOST}", "-T", "fields", "-e", "tcp.len")).split()
    assert sum(int(octets) for octets in ours) == size
    warned = f'ip.src == {HOST} && _ws.expert.severity >= "Warning"'
    assert (await program(*look, "-Y", warned)).decode() == ""
