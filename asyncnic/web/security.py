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
from pathlib import Path
from typing import Literal

import bcrypt
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from asyncnic.errors import SettingsError
from asyncnic.linux.thread import in_thread
from asyncnic.settings.model import shown

MOST_REMEMBERED = 128
"""Passwords found right that need no bcrypt again."""
_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")


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


def load_web_config(path: str, origin: str) -> WebConfig:
    """Read the file at `path`; "" is the empty config.

    Args:
        path: relative paths in it are relative to the file.
        origin: what the user typed to name it.

    Raises:
        SettingsError: in one line, what is wrong with it.
    """
    if not path:
        return WebConfig()
    try:
        config = WebConfig.model_validate(yaml.safe_load(Path(path).read_bytes()) or {})
    except OSError as error:
        raise SettingsError(f"{origin}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{origin}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = "no such key here" if first["type"] == "extra_forbidden" else first["msg"]
        raise SettingsError(f"{origin}: {shown(where)}: {problem}") from None
    for user, hashed in config.basic_auth_users.items():
        if not _BCRYPT.fullmatch(hashed):
            raise SettingsError(
                f"{origin}: basic_auth_users.{shown(user)}: must be a bcrypt hash (htpasswd -nBC 10 NAME)"
            )
    return config


def tls_context(config: TlsConfig, path: str, origin: str) -> ssl.SSLContext:
    """The server's side of TLS.

    Raises:
        SettingsError: a certificate or key cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if config.min_version == "TLS13" else ssl.TLSVersion.TLSv1_2
    load_certificates(context, config, path, origin)
    return context


def load_certificates(context: ssl.SSLContext, config: TlsConfig, path: str, origin: str) -> None:
    """Read certificate, key and client CA again; connections made from now on use them.

    Raises:
        SettingsError: as `tls_context`; those in use stay.
    """
    base = Path(path).parent
    try:
        context.load_cert_chain(base / config.cert_file, base / config.key_file)
    except (OSError, ssl.SSLError) as error:
        files = f"{config.cert_file} and {config.key_file}"
        raise SettingsError(f"{origin}: tls_server_config: {files}: {error.strerror or error}") from None
    if config.client_ca_file is not None:
        try:
            context.load_verify_locations(base / config.client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"{origin}: tls_server_config: {config.client_ca_file}: {error.strerror or error}"
            ) from None
    elif config.client_auth_type != "NoClientCert":
        raise SettingsError(f"{origin}: tls_server_config: client_auth_type needs client_ca_file")
    context.verify_mode = {
        "NoClientCert": ssl.CERT_NONE,
        "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
        "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
    }[config.client_auth_type]


class BasicAuth:
    """Checks Authorization headers against bcrypt hashes, off the event loop and one at a time.

    A password found right is remembered (as a digest) so that a scraper costs one bcrypt, not one a scrape.
    """

    def __init__(self, users: dict[str, str]) -> None:
        self._users = {user: hashed.encode() for user, hashed in users.items()}
        self._right: dict[bytes, None] = {}
        self._turn = asyncio.Lock()

    async def allows(self, header: str | None) -> bool:
        """Whether `header` carries a user and password of ours; everyone is allowed where there are no users."""
        if not self._users:
            return True
        pair = _credentials(header)
        if pair is None:
            return False
        user, password = pair
        # An unknown user is compared with someone else's password, so that the answer takes as long.
        hashed = self._users.get(user) or next(iter(self._users.values()))
        digest = hashlib.sha256(hashed + b"\0" + password).digest()
        if digest in self._right:
            return True
        async with self._turn:
            # bcrypt reads 72 octets; whoever made the hash had the rest cut off as well.
            right = await in_thread(bcrypt.checkpw, password[:72], hashed)
        if not right or user not in self._users:
            return False
        if len(self._right) >= MOST_REMEMBERED:
            del self._right[next(iter(self._right))]
        self._right[digest] = None
        return True


def _credentials(header: str | None) -> tuple[str, bytes] | None:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None
