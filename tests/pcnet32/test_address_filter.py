"""The order of the filter's rules (fact sheet, section 7.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.address_filter import REJECTED, AddressFilter
from asyncnic.pcnet32.descriptors import BAM, LAFM, PAM, multicast_hash

MAC = bytes.fromhex("525400123456")
BROADCAST = b"\xff" * 6
GROUP = bytes.fromhex("01005e000001")
ALL_GROUPS = (1 << 64) - 1


@pytest.mark.parametrize(
    ("mode", "ladrf", "address", "flags"),
    [
        (0, 0, MAC, PAM),
        (0, 0, BROADCAST, BAM),
        (0, 0, GROUP, REJECTED),
        (0, 0, MAC[:5] + b"\x57", REJECTED),
        (0, 1 << 54, GROUP, LAFM),
        (0, ALL_GROUPS & ~(1 << 54), GROUP, REJECTED),
        (0, ALL_GROUPS, BROADCAST, BAM),
        (0, ALL_GROUPS, MAC[:5] + b"\x57", REJECTED),
        (reg.MODE_DRCVPA, 0, MAC, REJECTED),
        (reg.MODE_DRCVBC, 0, BROADCAST, REJECTED),
        (reg.MODE_DRCVBC, 1 << 47, BROADCAST, LAFM),
        (reg.MODE_PROM, 0, GROUP, 0),
        (reg.MODE_PROM, 0, MAC, 0),
    ],
)
def test_first_rule_that_accepts_decides(mode: int, ladrf: int, address: bytes, flags: int) -> None:
    assert AddressFilter(mode, MAC, ladrf).match(address + MAC + b"\x08\x00") == flags


@given(st.binary(min_size=6, max_size=6), st.integers(0, ALL_GROUPS))
def test_hash_filters_group_addresses_only(address: bytes, ladrf: int) -> None:
    accepted = AddressFilter(reg.MODE_DRCVPA | reg.MODE_DRCVBC, MAC, ladrf).match(address) == LAFM
    assert accepted == bool(address[0] & 1 and ladrf >> multicast_hash(address) & 1)


@given(st.binary(min_size=8, max_size=8), st.sampled_from([0, reg.MODE_DRCVPA, reg.MODE_PROM]), st.booleans())
def test_the_one_word_test_agrees_with_match(head: bytes, mode: int, own: bool) -> None:
    if own:
        head = MAC + head[6:]
    chosen = AddressFilter(mode, MAC, 0)
    if int.from_bytes(head, "little") & chosen.own_mask == chosen.own:
        assert chosen.match(head) == chosen.own_flags
    else:
        assert chosen.match(head) != PAM
