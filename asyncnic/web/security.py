"""TLS and basic auth for HTTP, from a web config as Prometheus exporters take it.

The YAML is a subset of exporter-toolkit's: tls_server_config, basic_auth_users (bcrypt), http_server_config.headers. A
key outside it is refused, never ignored. There are no sessions, no roles and no rate limit of failed logins.
"""

import asyncio
import base64
import binascii
import hashlib
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import bcrypt
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from asyncnic.errors import Failed, SettingsError
from asyncnic.linux.files import must_be_regular, read_file
from asyncnic.linux.thread import in_thread
from asyncnic.settings.values import shown

MOST_REMEMBERED = 128
"""Passwords found right that need no bcrypt again."""
MOST_WAITING = 16
"""Passwords that wait for bcrypt, at most: the next one is asked to come again."""
COSTS = range(4, 15)
"""Costs of bcrypt: 14 is a second of a thread's time for each password that somebody tries."""
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = frozenset({"connection", "content-encoding", "content-length", "content-type", "transfer-encoding"})
"""Headers that say how a response is to be read: the server's own."""


class TlsConfig(BaseModel):
    """tls_server_config: certificate and key, and what is asked of clients."""

    model_config = ConfigDict(extra="forbid")

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    min_version: Literal["TLS12", "TLS13"] = "TLS12"


class HttpConfig(BaseModel):
    """http_server_config: headers that every response gets."""

    model_config = ConfigDict(extra="forbid")

    headers: dict[str, str] = {}


class WebConfig(BaseModel):
    """The whole file; empty: plain HTTP for everyone."""

    model_config = ConfigDict(extra="forbid")

    tls_server_config: TlsConfig | None = None
    basic_auth_users: dict[str, str] = {}
    http_server_config: HttpConfig = HttpConfig()


@dataclass(frozen=True, slots=True)
class Access:
    """A web config, ready for use: all that it says of who may come in, and how. Made by `access`; never changes."""

    config: WebConfig
    auth: "BasicAuth"
    tls: ssl.SSLContext | None
    files: tuple[Path, ...] = ()
    """What it was read from."""

    @property
    def authenticates(self) -> bool:
        """Whether nobody comes in unknown."""
        tls = self.config.tls_server_config
        return bool(self.config.basic_auth_users) or (
            tls is not None and tls.client_auth_type == "RequireAndVerifyClientCert"
        )

    def differs(self, other: "Access") -> list[str]:
        """The sections of the web config that `other` has otherwise."""
        return [name for name in WebConfig.model_fields if getattr(self.config, name) != getattr(other.config, name)]


def load_access(path: str, origin: str, again: bool = False) -> Access:
    """Read the web config at `path`, and every file that it names. May block.

    Args:
        path: "" is the empty config.
        origin: what the user typed to name it.
        again: whether this is a reload, for which all of them must be files that can be read again.

    Raises:
        SettingsError: in one line, what is wrong with it.
    """
    return access(load_web_config(path, origin, again), path, origin, again)


def access(config: WebConfig, path: str, origin: str, again: bool = False) -> Access:
    """`config`, read from `path`, ready for use; see `load_access`."""
    tls = config.tls_server_config
    context = None if tls is None else tls_context(tls, path, origin, again)
    named = () if tls is None else (tls.cert_file, tls.key_file, tls.client_ca_file)
    files = (Path(path), *(Path(path).parent / name for name in named if name)) if path else ()
    return Access(config, BasicAuth(config.basic_auth_users), context, files)


def load_web_config(path: str, origin: str, again: bool = False) -> WebConfig:
    """Read the file at `path`; "" is the empty config.

    Args:
        path: relative paths in it are relative to the file.
        origin: what the user typed to name it.
        again: whether this is a reload.

    Raises:
        SettingsError: in one line, what is wrong with it.
    """
    if not path:
        return WebConfig()
    try:
        config = WebConfig.model_validate(yaml.safe_load(read_file(Path(path), again)) or {})
    except OSError as error:
        raise SettingsError(f"{origin}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = "no such key here" if first["type"] == "extra_forbidden" else first["msg"]
        raise SettingsError(f"{origin}: {shown(where)}: {problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date or number that there cannot be
        raise SettingsError(f"{origin}: not YAML: {shown(' '.join(str(error).split()))}") from None
    for user, hashed in config.basic_auth_users.items():
        where = f"basic_auth_users.{shown(user)}"
        if ":" in user:
            raise SettingsError(f"{origin}: {where}: a user's name has no colon (RFC 7617)")
        match = _BCRYPT.fullmatch(hashed)
        if match is None:
            raise SettingsError(f"{origin}: {where}: must be a bcrypt hash (htpasswd -nBC 10 NAME)")
        if int(match[1]) not in COSTS:
            raise SettingsError(f"{origin}: {where}: bcrypt's cost must be {COSTS[0]} to {COSTS[-1]}, not {match[1]}")
    for name, value in config.http_server_config.headers.items():
        if not _TOKEN.fullmatch(name) or not value.isprintable() or name.lower() in _FRAMING:
            raise SettingsError(f"{origin}: http_server_config.headers.{shown(name)}: no header that can be added")
    return config


def tls_context(config: TlsConfig, path: str, origin: str, again: bool = False) -> ssl.SSLContext:
    """The server's side of TLS, from the files as they are now.

    Raises:
        SettingsError: a certificate or key cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if config.min_version == "TLS13" else ssl.TLSVersion.TLSv1_2
    base = Path(path).parent
    certificate, key = base / config.cert_file, base / config.key_file
    try:
        if again:
            must_be_regular(certificate)
            must_be_regular(key)
        # A password is never asked for: nobody sits at the terminal of a service.
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ssl.SSLError, Failed) as error:
        files = f"{config.cert_file} and {config.key_file}"
        raise SettingsError(f"{origin}: tls_server_config: {files}: {_reason(error)}") from None
    if config.client_ca_file is not None:
        try:
            if again:
                must_be_regular(base / config.client_ca_file)
            context.load_verify_locations(base / config.client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"{origin}: tls_server_config: {config.client_ca_file}: {_reason(error)}") from None
    elif config.client_auth_type != "NoClientCert":
        raise SettingsError(f"{origin}: tls_server_config: client_auth_type needs client_ca_file")
    context.verify_mode = {
        "NoClientCert": ssl.CERT_NONE,
        "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
        "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
    }[config.client_auth_type]
    return context


def _no_password() -> str:
    raise Failed("the key is encrypted: give it without a password")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


class BasicAuth:
    """Checks Authorization headers against bcrypt hashes, off the event loop and one at a time.

    A password found right is remembered (as a digest) so that a scraper costs one bcrypt, not one a scrape.
    """

    def __init__(self, users: dict[str, str]) -> None:
        self._users = {user: hashed.encode() for user, hashed in users.items()}
        self._right: dict[bytes, None] = {}
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def allows(self, header: str | None) -> bool:
        """Whether `header` carries a user and password of ours; everyone is allowed where there are no users. It
        depends on the header alone, whatever was asked before.

        Raises:
            LoginsBusy: too many passwords are being looked at already.
        """
        if not self._users:
            return True
        pair = _credentials(header)
        if pair is None:
            return False
        user, password = pair
        known = user in self._users
        # An unknown user is compared with someone else's password, so that the answer takes as long.
        hashed = self._users[user] if known else next(iter(self._users.values()))
        digest = hashlib.sha256(b"\0".join((user.encode(), hashed, password))).digest()
        if digest in self._right:
            return True
        if self._waiting >= MOST_WAITING:
            raise LoginsBusy
        self._waiting += 1
        try:
            async with self._turn:
                right = await in_thread(_matches, password, hashed)
        finally:
            self._waiting -= 1
        if not right or not known:
            return False
        if len(self._right) >= MOST_REMEMBERED:
            del self._right[next(iter(self._right))]
        self._right[digest] = None
        return True


class LoginsBusy(Exception):  # noqa: N818 - it says what the guard is
    """More passwords are asked about than can be looked at now."""


def _matches(password: bytes, hashed: bytes) -> bool:
    try:
        # bcrypt reads 72 octets; whoever made the hash had the rest cut off as well.
        return bcrypt.checkpw(password[:72], hashed)
    except ValueError:  # what its alphabet or an octet of 0 makes impossible
        return False


def _credentials(header: str | None) -> tuple[str, bytes] | None:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None
