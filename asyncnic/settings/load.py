"""Settings of what was given: flags, variables and the file, merged, validated and held against each other.

An error is one line that names what the user typed. What a setting is, is declared in model.py; nothing is opened here
but the file.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import (
    ValidationError,
)

from asyncnic import devices
from asyncnic.errors import SettingsError
from asyncnic.lanes.rules import parse_lanes
from asyncnic.linux.files import read_file
from asyncnic.settings import values
from asyncnic.settings.knobs import by_lane
from asyncnic.settings.model import (
    LIVE,
    OTHER_VARIABLES,
    PREFIX,
    WITH_COMMAS,
    Settings,
    choices,
    flag,
    is_list,
    variable,
)
from asyncnic.settings.values import shown
from asyncnic.stacks import choice

_INJECTED = re.compile(
    r"ASYNCNIC_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)=.*|PORT=\w+://.*|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=.*)",
    re.S,
)


def load(
    flags: Mapping[str, object], environ: Mapping[str, str], config_path: Path | None, again: bool = False
) -> Settings:
    """Merge flag > variable > file > default.

    Args:
        flags: by field name; None is "not given".
        environ: all variables of the process; those that start with ASYNCNIC_ must be known.
        config_path: the TOML file, if any.
        again: whether this is a reload, for which the file must be one that can be read again.

    Raises:
        SettingsError: in one line, what is wrong and where it was said.
    """
    raw: dict[str, object] = {}
    origins: dict[str, str] = {}
    if config_path is not None:
        for name, value in _read_file(config_path, again).items():
            raw[name], origins[name] = value, f"{name} in {config_path}"
    for name, text in _read_variables(environ).items():
        raw[name], origins[name] = text, f"{variable(name)}={shown(text)}"
    for name, given in flags.items():
        if given is not None:
            raw[name] = given
            origins[name] = flag(name) if given is True else f"{flag(name)} {shown(given)}"
    settings = _with_host_address(_consistent(_with_own_address(_validated(raw, origins))))
    settings._file = config_path
    return settings


def tuned(settings: Settings, changes: Mapping[str, object]) -> Settings:
    """`settings` with some of the live ones changed.

    Args:
        settings: as they stand; they stay as they are.
        changes: by name, values as flags, variables or the file would have them.

    Raises:
        SettingsError: in one line, which change is wrong, and why.
    """
    for name in changes:
        if name not in LIVE:
            if name in Settings.model_fields:
                raise SettingsError(f"{name}: is no knob: change it where the service is started, and restart")
            near = _nearest(name, LIVE)
            raise SettingsError(f"{shown(name)}: no such knob" + (f"; did you mean {near}?" if near else ""))
    origins = {name: f"{name}={shown(value)}" for name, value in changes.items()}
    return with_live(settings, _validated(dict(changes), origins), changes)


def with_live(settings: Settings, source: Settings, names: Iterable[str]) -> Settings:
    """`settings` with those called `names` as they are in `source`.

    Raises:
        SettingsError: they contradict the others.
    """
    names = set(names)
    new = settings.model_copy(update={name: getattr(source, name) for name in names})
    origins = {name: source.origin(name) for name in names if source.given(name)}
    new._origins = {name: said for name, said in settings._origins.items() if name not in names} | origins
    return _consistent(new)


def _read_file(path: Path, again: bool) -> dict[str, Any]:
    try:
        table = tomllib.loads(read_file(path, again).decode("utf-8"))
    except OSError as error:
        raise SettingsError(f"--config {shown(path)}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"--config {shown(path)}: not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"--config {shown(path)}: not TOML: {shown(error)}") from None
    for key in table:
        if key not in Settings.model_fields:
            near = _nearest(key, Settings.model_fields)
            hint = f"; did you mean {near}?" if near else ""
            raise SettingsError(f"{shown(key)} in {shown(path)}: no such setting{hint}")
    return table


def _read_variables(environ: Mapping[str, str]) -> dict[str, str]:
    known = {variable(name): name for name in Settings.model_fields}
    found = {}
    for key, text in environ.items():
        if not key.startswith(PREFIX) or key in OTHER_VARIABLES:
            continue
        if key not in known:
            if _INJECTED.fullmatch(f"{key}={text}"):
                continue
            # Compared without the prefix, which would make everything look alike.
            near = _nearest(key.removeprefix(PREFIX), (name.upper() for name in Settings.model_fields))
            raise SettingsError(f"{shown(key)}: no such setting" + (f"; did you mean {PREFIX}{near}?" if near else ""))
        found[known[key]] = text
    return found


def _nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like `word`; empty when none is."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), "")


def _validated(raw: dict[str, object], origins: Mapping[str, str]) -> Settings:
    """Settings of what was given, by name.

    Raises:
        SettingsError: the first that is wrong, by its origin.
    """
    for name in raw:
        if is_list(name):
            raw[name] = _as_list(raw[name], ";" if name in WITH_COMMAS else ",")
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        raise SettingsError(_one_line(error, raw, origins)) from None
    settings._origins.update(origins)
    return settings


def _as_list(value: object, separator: str) -> object:
    """Lists as they come: repeated flags, a TOML array, or text with separators; an empty text is no item."""
    if isinstance(value, str):
        value = value.split(separator)
    if isinstance(value, list | tuple):
        return tuple(item.strip() if isinstance(item, str) else item for item in value if item != "")
    return value


def _one_line(error: ValidationError, raw: Mapping[str, object], origins: Mapping[str, str]) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0])
    origin = origins[name]
    given = raw[name]
    if origin.startswith("--") and isinstance(given, list | tuple) and len(first["loc"]) > 1:
        origin = f"{flag(name)} {shown(given[int(first['loc'][1])])}"
    if first["type"] == "value_error":
        return f"{origin}: {first['ctx']['error']}"
    words = choices(Settings.model_fields[name])
    if words:
        return f"{origin}: must be {_listed(words)}"
    return f"{origin}: must be a list of text"


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _consistent(settings: Settings) -> Settings:
    """What no single setting can tell.

    Raises:
        SettingsError: two settings contradict each other.
    """
    if settings.stack == "inet" and not settings.address and not settings.device.startswith("packet:"):
        raise SettingsError(f"{settings.origin('address')}: --stack inet needs an address")
    _check_any(settings)
    if settings.stack == "kernel" and settings.device.partition(":")[2] == settings.kernel_if:
        raise SettingsError(f"{settings.origin('kernel_if')}: must differ from --device {settings.device}")
    if len({address.ip for address in settings.address}) < len(settings.address):
        raise SettingsError(f"{settings.origin('address')}: the same address twice")
    if settings.mtu < 1280 and any(address.version == 6 for address in settings.address):
        # RFC 8200 section 5: every link under IPv6 carries packets of 1280 octets.
        raise SettingsError(f"{settings.origin('mtu')}: must be at least 1280 where an --address is IPv6")
    host = settings.host_address
    if host is not None and host.ip in {address.ip for address in settings.address}:
        raise SettingsError(f"{settings.origin('host_address')}: must differ from --address")
    knobs = settings.knobs()
    if knobs.rx_budget_auto and settings.delivery == "queue":
        # The receiver's bursts end in the queue: what they cost is not what the stack's bursts cost.
        raise SettingsError(f"{settings.origin('rx_budget')}: needs --delivery direct")
    if settings.workers > 1 and not devices.parse(settings.device)[0].shared:
        raise SettingsError(f"{settings.origin('workers')}: only a TAP has queues to share: use --device tap:NAME")
    for name in ("shed", "lane_queue", "fault"):
        if settings.workers > 1 and getattr(settings, name):
            raise SettingsError(f"{settings.origin(name)}: needs --workers 1")
    spec = choice.STACKS.get(settings.stack)
    if settings.workers > 1 and spec is not None and spec.alone:
        raise SettingsError(f"{settings.origin('workers')}: --stack {spec.name} {spec.alone}: use --workers 1")
    if settings.given("service") and settings.service and settings.stack != "inet":
        raise SettingsError(f"{settings.origin('service')}: needs --stack inet")
    lanes = [lane.name for lane in parse_lanes(knobs.lane)]
    for name in ("lane_queue", "lane_weight"):
        for lane in by_lane(getattr(settings, name)):
            if lane not in lanes:
                raise SettingsError(
                    f"{settings.origin(name)}: there is no lane {shown(lane)}: use {_listed(tuple(lanes))}"
                )
    return settings


def _check_any(settings: Settings) -> None:
    """Prefixes where they may be, and only there.

    Raises:
        SettingsError: somewhere else.
    """
    for one in settings.address if not settings.any else settings.own_addresses:
        try:
            values.interface(str(one))
        except ValueError as error:
            raise SettingsError(f"{settings.origin('address')}: {error}") from None
    if settings.any:
        if settings.stack != "inet":
            raise SettingsError(f"{settings.origin('any')}: needs --stack inet")
        if not settings.address:
            raise SettingsError(
                f"{settings.origin('any')}: {settings.device} has the interface's own addresses: give it "
                "prefixes, like --address 198.51.100.0/24"
            )
        if not settings.prefixes:
            raise SettingsError(f"{settings.origin('any')}: needs an --address that is a prefix, like 198.51.100.0/24")
        if settings.workers > 1 and not settings.any_passive:
            # Each worker would hear a part of what the link says of who has which address.
            raise SettingsError(f"{settings.origin('any')}: needs --workers 1, or --any-passive")
    elif settings.any_passive:
        raise SettingsError(f"{settings.origin('any_passive')}: needs --any")


def _with_own_address(settings: Settings) -> Settings:
    """On an interface that has addresses the default of `address` would be a stranger: none means that it has those."""
    if not settings.device.startswith("packet:") or settings.given("address"):
        return settings
    return settings.model_copy(update={"address": ()})


def _with_host_address(settings: Settings) -> Settings:
    """Drop the default of host_address where no address of the stack is in its network: it would be of no use there."""
    host = settings.host_address
    if host is None or settings.given("host_address") or any(host.ip in item.network for item in settings.address):
        return settings
    return settings.model_copy(update={"host_address": None})
