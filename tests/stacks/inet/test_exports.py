"""What exports say of their numbers; what is read here, tshark decodes as whole and well-formed."""

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.stacks.inet import exports
from asyncnic.stacks.inet.exports import Numbered, Templates, numbered
from tests.stacks.inet import exporting as make
from tests.stacks.inet.wire import HOST, PEER, ipv4, udp

STRING = (82, 0xFFFF)
"""An interface's name, of variable length."""
IPFIX = {
    "records": (make.ipfix(9, make.template(), make.records(3)), 3),
    "padding": (make.ipfix(9, make.template(), make.records(3, padding=3)), 3),
    "nothing but a template": (make.ipfix(9, make.template()), 0),
    "options": (
        make.ipfix(9, make.options_template(301), struct.pack("!HHIQIQ", 301, 28, 1, 2, 3, 4)),
        2,
    ),
    "variable lengths": (
        make.ipfix(
            9,
            make.template(STRING),
            make.records(0, [make.variable(b"eth0"), make.variable(b"x" * 300, True), make.variable(b"")]),
        ),
        3,
    ),
    "an enterprise's field": (
        make.ipfix(9, make.template((5, 2), enterprise=29305), make.records(0, [b"ab", b"cd"])),
        2,
    ),
    "two sets": (make.ipfix(9, make.template(), make.records(2), make.records(5)), 7),
}
OTHERS = {
    "netflow5": (make.netflow5(12, 3), Numbered("netflow5", b"\0\3", 12)),
    "netflow9": (make.netflow9(2**32 - 1), Numbered("netflow9", b"\0\0\0\7", 2**32 - 1)),
    "ipfix": (make.ipfix(9, make.template()), Numbered("ipfix", b"\0\0\0\7", 9)),
    "sflow": (make.sflow(5, sub_agent=2), Numbered("sflow", b"\xc0\0\2\1\0\0\0\2", 5)),
    "sflow of IPv6": (make.sflow(5, bytes(15) + b"\1"), Numbered("sflow", bytes(15) + b"\1" + bytes(4), 5)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_datagram_says_whose_and_which_it_is(name: str) -> None:
    data, expected = OTHERS[name]
    assert numbered(data) == expected
    assert all(numbered(data[:length]) is None for length in range(16))


@pytest.mark.parametrize("name", IPFIX)
def test_the_records_of_a_message_are_counted_by_its_templates(name: str) -> None:
    data, count = IPFIX[name]
    assert Templates().records("session", data) == count


def test_templates_are_of_their_session_and_stay() -> None:
    templates = Templates()
    assert templates.records("one", make.ipfix(0, make.records(3))) is None
    assert templates.records("one", make.ipfix(0, make.template())) == 0
    assert templates.records("one", make.ipfix(0, make.records(3))) == 3
    assert templates.records("another", make.ipfix(0, make.records(3))) is None
    assert templates.records("one", make.ipfix(0, make.template((5, 2)))) == 0  # said anew: the record is longer now
    assert templates.records("one", make.ipfix(0, make.records(0, [b"ab", b"cd"]))) == 2


def test_templates_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "TEMPLATES", 3)
    templates = Templates()
    for number in range(300, 310):
        templates.records("session", make.ipfix(0, make.template(number=number)))
    known = [
        number
        for number in range(300, 310)
        if templates.records("session", make.ipfix(0, make.records(1, number=number)))
    ]
    assert known == [307, 308, 309]


@given(st.binary(max_size=200), st.sampled_from([data for data, _ in [*OTHERS.values(), *IPFIX.values()]]), st.data())
def test_no_octets_do_any_harm(tail: bytes, good: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(good)))
    for data in (tail, good[:cut] + tail, good[:2] + struct.pack("!H", cut + len(tail)) + good[4:cut] + tail):
        numbered(data)
        count = Templates().records("session", data)
        assert count is None or 0 <= count <= len(data)


def test_tshark_finds_them_whole(tmp_path: Path) -> None:
    """The packets of these tests are real ones: a decoder that knows nothing of us reads the same numbers."""
    told = [(2055, data) for data, _ in [OTHERS["netflow5"], OTHERS["netflow9"]]]
    told += [(4739, data) for data, _ in IPFIX.values()]
    told += [(6343, data) for name, (data, _) in OTHERS.items() if name.startswith("sflow")]
    frames = [ipv4(17, udp(data, 4000 + at, port, PEER, HOST)) for at, (port, data) in enumerate(told)]
    capture = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for frame in frames:
        capture += struct.pack("=IIII", 1, 0, len(frame), len(frame)) + frame
    (tmp_path / "exports.pcap").write_bytes(capture)
    wanted = (
        "cflow.sequence",
        "sflow_245.sequence_number",
        "_ws.malformed",
        "_ws.expert.severity",
        "_ws.expert.message",
    )
    fields = [word for name in wanted for word in ("-e", name)]
    command = ["tshark", "-r", str(tmp_path / "exports.pcap"), "-d", "udp.port==2055,cflow", "-T", "fields", *fields]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in shown.splitlines()]
    assert [row[2:] for row in rows] == [["", "", ""]] * len(told), rows
    read = [numbered(data) for _, data in told]
    assert [int(row[0] or row[1]) for row in rows] == [one.number for one in read if one is not None]
