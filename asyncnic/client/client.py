"""How `stats`, `ring`, `regs`, `capture` and their kin ask a running service: blocking HTTP, one request at a time.

Not an API client for others: the paths and their JSON are the contract, this only gets them with errors of one line.
"""

import base64
import http.client
import json
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncnic.errors import Failed

TIMEOUT = 10.0
"""Seconds without an octet after which a service counts as hung."""


class Refused(Failed):
    """The service finds what was put wrong; the message is its own, in one line."""


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Where a service listens: its URL, user and password included if need be, and the certificates to trust; or its
    control socket."""

    url: str
    cacert: Path | None = None
    control: Path | None = None
    timeout: float = TIMEOUT
    """Seconds without an octet after which the service counts as hung."""

    @property
    def shown(self) -> str:
        """The URL as an error may show it: without the password."""
        scheme, slashes, rest = self.url.rpartition("//")
        return scheme + slashes + rest.rpartition("@")[2]

    @property
    def flag(self) -> str:
        """What to type to name this endpoint, for errors."""
        return f"--control {self.control}" if self.control is not None else f"--url {self.shown}"

    def get_json(self, path: str) -> Any:
        """The JSON at `path`.

        Raises:
            Failed: nobody listens, or what answers is not the service.
        """
        return self._parsed(b"".join(self.stream(path)))

    def put_json(self, path: str, value: object) -> Any:
        """Put `value` as JSON to `path`; the JSON of the answer.

        Raises:
            Failed: as for `get_json`, or the service refuses; the message says why.
            Refused: it refuses what was put as wrong.
        """
        return self._parsed(b"".join(self.stream(path, put=json.dumps(value).encode())))

    def _parsed(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError:
            raise Failed(f"{self.flag}: what answers there is not asyncnic") from None

    def stream(self, path: str, *, patient: bool = False, put: bytes | None = None) -> Iterator[bytes]:
        """The body at `path`, in pieces as they come; a `patient` reader waits for the next one as long as it takes.
        With `put` that is sent, as JSON, instead of asking for what is there.

        Raises:
            Failed: as for `get_json`, or the service went away in the middle.
        """
        try:
            with self._open(path, None if patient else self.timeout, put) as response:
                while piece := response.read1(65536):
                    yield piece
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.HTTPStatus.BAD_REQUEST:
                    raise Refused(self._refusal(error)) from None
                raise Failed(f"{self.flag}: {self._refusal(error)}") from None
        except urllib.error.URLError as error:
            raise Failed(f"{self.flag}: {self._unreachable(error.reason)}") from None
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"{self.flag}: the connection broke: {error or type(error).__name__}") from None

    def _open(self, path: str, timeout: float | None, put: bytes | None) -> http.client.HTTPResponse:
        try:
            parts = urllib.parse.urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise Failed(f"{self.flag}: must be http:// or https:// with a host, and a port if need be")
        request = urllib.request.Request(self.shown.rstrip("/") + path, put, method="GET" if put is None else "PUT")
        if put is not None:
            request.add_header("Content-Type", "application/json")
        if parts.username is not None:
            pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
        try:
            context = ssl.create_default_context(cafile=self.cacert) if parts.scheme == "https" else None
        except (OSError, ssl.SSLError) as error:
            raise Failed(f"--cacert {self.cacert}: {error.strerror or error}") from None
        # No proxy: the service is asked where it is, whatever the environment says about the web.
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self.control is not None:
            handlers.append(_ControlHandler(self.control))
        opener = urllib.request.build_opener(*handlers, urllib.request.HTTPSHandler(context=context))
        response = opener.open(request, timeout=timeout)
        assert isinstance(response, http.client.HTTPResponse)
        return response

    def _refusal(self, error: urllib.error.HTTPError) -> str:
        if error.code == http.HTTPStatus.UNAUTHORIZED:
            return "the service asks for user and password: put them into the URL, http://user:password@host:port"
        text = " ".join(error.read(500).decode("utf-8", "replace").split())
        return text or f"HTTP {error.code}"

    def _unreachable(self, reason: object) -> str:
        if isinstance(reason, PermissionError):
            return "only the service's user may connect: become that user, or use --url"
        if self.control is not None and isinstance(reason, ConnectionRefusedError | FileNotFoundError):
            return "nothing listens there: start `asyncnic run`, or name another --control"
        if isinstance(reason, ConnectionRefusedError):
            return "nothing listens there: start `asyncnic run`, or name another --url"
        if isinstance(reason, ssl.SSLCertVerificationError):
            return f"certificate not trusted ({reason.verify_message}): name its issuer with --cacert"
        return f"not reachable: {getattr(reason, 'strerror', None) or reason}"


class _ControlConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, host: str, **options: Any) -> None:
        super().__init__(host, **options)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _ControlHandler(urllib.request.HTTPHandler):
    """Opens http: URLs on the Unix socket at `path`, whatever their host."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        def connection(host: str, **options: Any) -> http.client.HTTPConnection:
            return _ControlConnection(self._path, host, **options)

        response = self.do_open(connection, request)
        assert isinstance(response, http.client.HTTPResponse)
        return response
