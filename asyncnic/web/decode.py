"""/api/v1/ring and /api/v1/regs: the chip's memory and registers as JSON with every bit by name.

Only the data sheet's names are added to what the nic read; nothing is read here.
"""

from collections.abc import Mapping, Sequence

from asyncnic.pcnet32.descriptors import OWN, describe_rx, describe_tx
from asyncnic.pcnet32.registers import STYLE_PCNET_PCI, decode, decode_bcr

_DESCRIBE = {"rx": describe_rx, "tx": describe_tx}


def ring(words: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, list[dict[str, object]]]:
    """Rings ("rx", "tx") to their descriptors in order: `index`, `owner` and what `describe_rx`, `describe_tx` tell."""
    return {
        name: [
            {"index": index, "owner": "card" if entry[1] & OWN else "host", **_DESCRIBE[name](entry, STYLE_PCNET_PCI)}
            for index, entry in enumerate(entries)
        ]
        for name, entries in words.items()
    }


def registers(values: Mapping[str, int]) -> list[dict[str, object]]:
    """Registers in order: `name` ("CSR0", "BCR20"), `value` and the names of the set `bits`."""
    found: list[dict[str, object]] = []
    for name, value in values.items():
        number = int(name[3:])
        bits = decode(number, value) if name.startswith("CSR") else decode_bcr(number, value)
        found.append({"name": name, "value": value, "bits": bits})
    return found
