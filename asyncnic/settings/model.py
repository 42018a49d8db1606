"""The one settings model: what can be configured, its defaults, and who said so.

A setting is a flag of `asyncnic run`, a variable ``ASYNCNIC_...`` and a key of the TOML file at the same time, in that
order of precedence; the command line is generated from this model. An error names what the user typed. Settings are
values: they open nothing and never change. What may change while frames flow is copied into `Knobs`.
"""

import typing
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    create_model,
)
from pydantic.fields import FieldInfo

from asyncnic import devices, faults
from asyncnic.nic.sources import parse_source_limit
from asyncnic.settings import sinks, values
from asyncnic.settings.hosts import OfHosts
from asyncnic.settings.knobs import AUTO, AUTOMATIC, KNOBS, Knob, Knobs
from asyncnic.settings.packet import OfPacket
from asyncnic.settings.recorder import OfRecorder
from asyncnic.settings.tcp import OfTcp
from asyncnic.settings.values import Interface, shown
from asyncnic.stacks import choice

PREFIX = "ASYNCNIC_"
OTHER_VARIABLES = frozenset({"ASYNCNIC_CONFIG", "ASYNCNIC_URL", "ASYNCNIC_HOT_PATH"})
"""Variables that are not settings: the file itself, where `stats` and its kin look for the service, and which build of
the packet path runs (`asyncnic.hot`)."""
"""What Kubernetes puts into every container for each Service of its namespace whose name begins with asyncnic."""

LIVE = frozenset(KNOBS)
"""Settings that a reload or `tune` applies while frames flow."""
WITH_COMMAS = frozenset(name for name, knob in KNOBS.items() if knob.kind == "rules")
"""Lists whose items have commas in them: where they come as one text, semicolons are between them."""

Seconds = PlainSerializer(values.show_duration, when_used="json")
AutomaticSeconds = PlainSerializer(values.show_duration_or_word, when_used="json")
Redacted = PlainSerializer(sinks.shown_service, when_used="json")


class _OfTheNic(BaseModel):
    """What NIC there is and who gets its frames: settled when the service starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Annotated[str, BeforeValidator(devices.device)] = Field(
        "tap:asyncnic0", title="DEVICE", description=f"the NIC: {devices.described()}"
    )
    mac: Annotated[str, BeforeValidator(values.mac)] = Field(
        "",
        title="MAC",
        description="MAC address of the NIC; empty: derived from the machine's id (/etc/machine-id, where there is "
        "one) and the device's name, the same after every start; containers that share a link want one each",
    )
    mtu: Annotated[int, BeforeValidator(values.whole_within(68, 1500))] = Field(
        1500, title="OCTETS", description="largest packet in a frame, in octets, 68 to 1500"
    )
    address: tuple[Annotated[Interface, BeforeValidator(values.interface_or_prefix)], ...] = Field(
        (values.interface("192.0.2.2/24"),),
        title="ADDRESS/PREFIX",
        description="address of the inet stack, IPv4 or IPv6 (repeatable); on packet:INTERFACE none is needed: it has "
        "the interface's own, and of its frames only those for our ports; with --any, whole prefixes too",
    )
    host_address: Annotated[Interface | None, BeforeValidator(values.interface_or_none)] = Field(
        values.interface("192.0.2.1/24"),
        title="ADDRESS/PREFIX",
        description="address of the host's side of the TAP; empty: leave it alone; the default holds "
        "where an --address is in its network",
    )
    stack: Annotated[str, BeforeValidator(choice.stack)] = Field(
        "inet", title="STACK", description=f"who gets the frames: {choice.described()}"
    )
    kernel_if: Annotated[str, BeforeValidator(values.interface_name)] = Field(
        "asyncnic1", title="NAME", description="the TAP through which --stack kernel hands frames to the kernel"
    )
    service: tuple[Annotated[str, BeforeValidator(sinks.service), Redacted], ...] = Field(
        ("udp-echo:7",),
        title="NAME:PORT",
        description="service of the inet stack: udp-echo:7, tcp-echo:7, http:80, "
        "package.module:factory:PORT, tcp:package.module:factory:PORT, or a sink, which publishes a port's datagrams: "
        "PORT=nats://HOST/SUBJECT (JetStream) or PORT=redis://HOST/STREAM; tls:// and rediss:// encrypt (repeatable)",
    )
    sequence_gaps: tuple[Annotated[int, BeforeValidator(values.whole_within(1, 65535))], ...] = Field(
        (),
        title="PORT",
        description="UDP port of a service on which NetFlow v5 or v9, IPFIX or sFlow comes: count what is missing "
        "of the numbers that each exporter gives, which was lost before us or by us (repeatable)",
    )
    workers: Annotated[int, BeforeValidator(values.whole_within(1, 64))] = Field(
        1, title="N", description="processes that share the frames of a TAP, each with a queue, a ring and a stack"
    )
    rx_ring: Annotated[int, BeforeValidator(values.power_of_two_within(1, 512))] = Field(
        256, title="N", description="receive descriptors, a power of two from 1 to 512"
    )
    tx_ring: Annotated[int, BeforeValidator(values.power_of_two_within(1, 512))] = Field(
        64, title="N", description="transmit descriptors, a power of two from 1 to 512"
    )
    fault: tuple[Annotated[str, BeforeValidator(faults.fault)], ...] = Field(
        (),
        title="NAME=AMOUNT",
        description="inject a fault, to rehearse (repeatable; frames meet them in this order): "
        f"{faults.described()}; each is counted, and the ledger still balances",
    )
    delivery: Literal["direct", "queue"] = Field(
        "direct", description="hand bursts straight to the stack, or through a bounded queue"
    )


def _source_limit(value: object) -> str:
    """A checker for the setting."""
    text = str(value).replace(" ", "")
    parse_source_limit(text)
    return text


def _setting(name: str, knob: Knob) -> tuple[Any, Any]:
    """Type and field of the setting that a knob is."""
    check = BeforeValidator(knob.check)
    types: dict[str, Any] = {
        "number": Annotated[Any, check],
        "seconds": Annotated[Any, check, AutomaticSeconds] if name in AUTOMATIC else Annotated[float, check, Seconds],
        "choice": Literal[knob.choices] if knob.choices else None,
        "rules": Annotated[tuple[str, ...], check],
        "lane numbers": tuple[Annotated[str, check], ...],
    }
    default = getattr(_STANDARD, name)
    return types[knob.kind], Field(default, title=knob.placeholder or None, description=knob.text)


_STANDARD = Knobs()
if TYPE_CHECKING:

    class _WithKnobs(OfRecorder, OfTcp, OfPacket, OfHosts, _OfTheNic): ...
else:
    _WithKnobs = create_model(
        "_WithKnobs",
        __base__=(OfRecorder, OfTcp, OfPacket, OfHosts, _OfTheNic),
        **{name: _setting(name, knob) for name, knob in KNOBS.items()},
    )


class Settings(_WithKnobs):
    """Everything `asyncnic run` can be told. `load` is how it is made; `knobs` has the live ones with their types."""

    listen: Annotated[str, BeforeValidator(values.listen)] = Field(
        "127.0.0.1:9732", title="HOST:PORT", description="where HTTP is served: metrics, health, live page"
    )
    web_config: Annotated[str, BeforeValidator(values.text)] = Field(
        "", title="FILE", description="YAML with TLS and basic auth for HTTP, as Prometheus exporters take it"
    )
    control: Annotated[str, BeforeValidator(values.text)] = Field(
        "auto",
        title="PATH",
        description="Unix socket where HTTP is served to the service's user, who may tune and reload; auto: NAME.sock "
        "in $RUNTIME_DIRECTORY, as root in /run/asyncnic, else in $XDG_RUNTIME_DIR/asyncnic; empty: none",
    )
    source_limit: Annotated[str, BeforeValidator(_source_limit)] = Field(
        "",
        title="RATE[,/24,/56]",
        description="frames a second that one source may send, like 10000/s, a source being the addresses of a prefix, "
        "like 10000/s,/24,/56 (else /32 and /64); what is beyond is dropped before the stack sees it; empty: no limit",
    )
    drain: Annotated[float, BeforeValidator(values.duration_within(0.0, 300.0)), Seconds] = Field(
        0.0,
        title="TIME",
        description="when told to end, say not ready and serve on until no frame of ours has come for a second, for so "
        "long at most, like 20s; a second SIGTERM ends that",
    )
    enable_lifecycle: Annotated[bool, BeforeValidator(values.switch)] = Field(
        False, description="allow POST /-/reload and PUT /api/v1/settings on --listen too"
    )
    sandbox: Literal["auto", "on", "off"] = Field(
        "auto",
        description="seccomp, Landlock and no more capabilities than the device needs to come back, once all is open; "
        "auto: as far as the kernel has them, and not around a stack or a service of your own; on: around these too, "
        "with no capability at all, or the service does not start",
    )
    stall_timeout: Annotated[float, BeforeValidator(values.duration_within(0.0, 60.0)), Seconds] = Field(
        1.0,
        title="TIME",
        description="report where the event loop is when it has not turned for so long, like 500ms; 0us: never",
    )
    loop: Literal["uvloop", "asyncio"] = Field("uvloop", description="the event loop")
    log_format: Literal["text", "json"] = Field("text", description="form of the log on stderr, one event a line")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _file: Path | None = PrivateAttr(default=None)

    @property
    def own_addresses(self) -> tuple[Interface, ...]:
        """Those of `address` that are addresses."""
        return tuple(one for one in self.address if not (self.any and values.is_prefix(one)))

    @property
    def prefixes(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Those of `address` that are whole prefixes, all of whose hosts we are."""
        return tuple(one.network for one in self.address if self.any and values.is_prefix(one))

    def origin(self, name: str) -> str:
        """What the user typed to get setting `name`, for an error that arises later; the default as a flag."""
        return self._origins.get(name) or f"{flag(name)} {shown(getattr(self, name))}"

    @property
    def file(self) -> Path | None:
        """The file that these are from, if any."""
        return self._file

    def given(self, name: str) -> bool:
        """Whether anyone set `name`: False means that it has its default."""
        return name in self._origins

    def knobs(self) -> Knobs:
        """A fresh set of knobs that stand as these settings say."""
        live = {name: getattr(self, name) for name in LIVE}
        for name in AUTOMATIC:
            if live[name] == AUTO:
                live |= {name: getattr(_STANDARD, name), f"{name}_auto": True}
        return Knobs(**live)


def changed(old: Settings, new: Settings) -> set[str]:
    """Names of the settings whose values differ."""
    return {name for name in Settings.model_fields if getattr(old, name) != getattr(new, name)}


def flag(name: str) -> str:
    """The flag of setting `name`: rx_ring is --rx-ring."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The variable of setting `name`: rx_ring is ASYNCNIC_RX_RING."""
    return PREFIX + name.upper()


def is_list(name: str) -> bool:
    """Whether setting `name` may be given several times."""
    return typing.get_origin(Settings.model_fields[name].annotation) is tuple


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The words that a field accepts; none where it is not an enumeration."""
    return typing.get_args(field.annotation) if typing.get_origin(field.annotation) is Literal else ()
