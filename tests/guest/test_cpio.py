"""The archive that the guest boots from, read back by cpio's own rules."""

import stat

from hypothesis import given
from hypothesis import strategies as st

from asyncnic.bench.guest.cpio import Entry, archive, directory, regular, symlink


def read_back(octets: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> (mode, data) of each record of a "newc" archive."""
    found: dict[str, tuple[int, bytes]] = {}
    position = 0
    while True:
        assert octets[position : position + 6] == b"070701"
        fields = [int(octets[position + 6 + 8 * i : position + 14 + 8 * i], 16) for i in range(13)]
        start = position + 110
        name = octets[start : start + fields[11] - 1].decode()
        data = start + fields[11] + -(start + fields[11]) % 4
        position = data + fields[6] + -fields[6] % 4
        if name == "TRAILER!!!":
            assert position == len(octets)
            return found
        assert name not in found
        found[name] = fields[1], octets[data : data + fields[6]]


def test_directories_above_an_entry_come_before_it_and_once() -> None:
    entries = [regular("a/b/c", b"1", 0o755), directory("a/b"), regular("a/d", b""), symlink("a/e", "b/c")]
    found = read_back(b"".join(archive(entries)))
    assert list(found) == ["a", "a/b", "a/b/c", "a/d", "a/e"]
    assert stat.S_ISDIR(found["a"][0])
    assert found["a/b/c"] == (stat.S_IFREG | 0o755, b"1")
    assert found["a/e"] == (stat.S_IFLNK | 0o777, b"b/c")


@given(st.dictionaries(st.text("xyz", min_size=1, max_size=9), st.binary(max_size=40), max_size=8))
def test_any_contents_come_back(files: dict[str, bytes]) -> None:
    found = read_back(b"".join(archive(regular(name, data) for name, data in files.items())))
    assert {name: data for name, (_, data) in found.items()} == files


def test_a_device_node_has_its_numbers() -> None:
    octets = b"".join(archive([Entry("n", stat.S_IFCHR | 0o600, device=(5, 1))]))
    assert octets[6 + 8 * 9 : 6 + 8 * 11] == b"0000000500000001"
