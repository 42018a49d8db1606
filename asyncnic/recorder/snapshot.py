"""A snapshot: what was recorded as a directory of four files, that anybody can read with the tools they have.

    snapshot.json   why and when, versions, settings, knobs, the numbers now, rings, registers, sources of the heads
    counters.csv    every number that was not always 0, a row each 100 ms
    frames.pcapng   heads of the last frames; how each ended, and what was dropped before it, as comments
    stacks.txt      where every thread and task stood

Made of values, so it may be made in a thread. It is written beside and renamed, and old ones make room for new ones.
"""

import io
import json
import re
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from asyncnic import pcapng
from asyncnic.hot.heads import HeadRing
from asyncnic.nic.sources import source_address
from asyncnic.recorder.timeline import Row

KEPT = 8
"""Snapshots in a directory, at most: the oldest makes room."""
SOURCES = 10
FILES = ("snapshot.json", "counters.csv", "frames.pcapng", "stacks.txt")
_NAME = re.compile(r"asyncnic-[^/]+-\d{8}T\d{6}\.\d{3}Z")
_REASON = "dropped_by_reason."


@dataclass(frozen=True, slots=True)
class Recording:
    """All that goes into a snapshot."""

    cause: str
    """One of `storm.CAUSES`, "signal" or "request"."""
    why: str
    time_ns: int
    device: str
    facts: Mapping[str, object]
    """For snapshot.json besides what is here; JSON's types."""
    columns: Sequence[str]
    rows: Sequence[Row]
    heads: HeadRing | None
    lanes: Sequence[str]
    stacks: str

    @property
    def name(self) -> str:
        """Of the directory."""
        device = re.sub(r"[^A-Za-z0-9.]+", "-", self.device).strip("-") or "nic"
        return f"asyncnic-{device}-{stamp(self.time_ns).replace('-', '').replace(':', '')}"


def stamp(time_ns: int) -> str:
    """A time as people write it: 2026-11-28T12:03:04.200Z."""
    whole = datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{time_ns // 10**6 % 1000:03}Z"


def files(recording: Recording) -> dict[str, bytes]:
    """The files of a snapshot by their names."""
    contents = (
        json.dumps(_facts(recording), indent=1).encode(),
        "".join(_csv(recording)).encode(),
        b"".join(_frames(recording)),
        recording.stacks.encode(errors="backslashreplace"),
    )
    return dict(zip(FILES, contents, strict=True))


def save(recording: Recording, parent: Path) -> Path:
    """Write a snapshot into `parent`, which is made if need be, and remove the oldest beyond `KEPT`; its directory.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    target = _write(recording.name, files(recording), parent)
    ours = sorted((path for path in parent.iterdir() if _NAME.fullmatch(path.name)), key=lambda path: path.name[-20:])
    for old in ours[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def packed(recording: Recording) -> bytes:
    """The snapshot as a tar archive with its directory in it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files(recording).items():
            entry = tarfile.TarInfo(f"{recording.name}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), recording.time_ns // 10**9, 0o600
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def unpack(archive: bytes, parent: Path) -> Path:
    """Write a snapshot that came as an archive into `parent`, which is made if need be; its directory.

    Raises:
        ValueError: it is no snapshot.
        OSError: it cannot be written, or is there already; nothing is left of it.
    """
    found: dict[str, bytes] = {}
    names = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            for entry in opened:
                directory, _, name = entry.name.partition("/")
                content = opened.extractfile(entry)
                if content is None or name not in FILES or not _NAME.fullmatch(directory):
                    raise ValueError("no snapshot")
                names.add(directory)
                found[name] = content.read()
    except tarfile.TarError:
        raise ValueError("no snapshot") from None
    if len(names) != 1 or set(found) != set(FILES):
        raise ValueError("no snapshot")
    return _write(names.pop(), found, parent)


def _write(name: str, contents: Mapping[str, bytes], parent: Path) -> Path:
    """The directory `name` in `parent` with `contents`, whole or not at all."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    begun = Path(tempfile.mkdtemp(prefix=".asyncnic-", dir=parent))
    try:
        for file, content in contents.items():
            (begun / file).write_bytes(content)
        return begun.rename(parent / name)
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise


def _facts(recording: Recording) -> dict[str, object]:
    heads = list(recording.heads.heads()) if recording.heads is not None else []
    sources = Counter(source_of(head.octets) for head in heads)
    return {
        "cause": recording.cause,
        "why": recording.why,
        "time": stamp(recording.time_ns),
        "device": recording.device,
        "heads": {
            "kept": len(heads),
            "seconds": (heads[-1].time_ns - heads[0].time_ns) / 1e9 if heads else 0.0,
            "sources": dict(sources.most_common(SOURCES)),
            "ends": dict(Counter(head.end or "delivered" for head in heads).most_common()),
        },
        **recording.facts,
    }


def _csv(recording: Recording) -> Iterator[str]:
    """A heading and the rows, without the columns that are 0 in all of them."""
    kept = [at for at, column in enumerate(zip(*(row for _, row in recording.rows), strict=True)) if any(column)]
    yield ",".join(["time", *(recording.columns[at] for at in kept)]) + "\n"
    for time_ns, row in recording.rows:
        yield ",".join([stamp(time_ns), *(f"{row[at]:.15g}" for at in kept)]) + "\n"


def _frames(recording: Recording) -> Iterator[bytes]:
    """The heads as pcapng; the first one after a row says what was dropped since the row before."""
    yield pcapng.section_header("asyncnic flight recorder") + pcapng.interface(recording.device)
    if recording.heads is None:
        return
    drops = _drops(recording)
    due = next(drops, None)
    for head in recording.heads.heads():
        lost, said = 0, []
        while due is not None and due[0] <= head.time_ns:
            lost += due[1]
            said.append(due[2])
            due = next(drops, None)
        lane = recording.lanes[head.lane] if head.lane < len(recording.lanes) else str(head.lane)
        comments = [f"lane {lane}: {head.end or 'delivered'}", *said[-1:]]
        yield pcapng.packet(head.time_ns, head.octets, lost, head.length, comments)


def _drops(recording: Recording) -> Iterator[tuple[int, int, str]]:
    """What was dropped between two rows: time of the second, frames, and where and why."""
    reasons = [
        (at, name.removeprefix(_REASON).replace(".", " "))
        for at, name in enumerate(recording.columns)
        if name.startswith(_REASON)
    ]
    for (since, before), (time_ns, row) in zip(recording.rows, recording.rows[1:], strict=False):
        parts = {name: int(row[at] - before[at]) for at, name in reasons if row[at] > before[at]}
        if parts:
            said = ", ".join(f"{name} {count}" for name, count in parts.items())
            yield time_ns, sum(parts.values()), f"dropped in the {(time_ns - since) / 1e6:.0f} ms before: {said}"


def source_of(octets: bytes) -> str:
    """Who sent the frame with this head: the IP address, or else the MAC address. Any octets will do."""
    address = source_address(octets, 0, len(octets))
    return str(ip_address(address)) if address else octets[6:12].hex(":")
