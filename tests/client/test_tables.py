"""What people see of the JSON: tables and flat names."""

import json

from asyncnic.client.tables import exporters, flatten, registers, ring, sockets, sources, stats
from asyncnic.web import decode
from asyncnic.web.stats import stats as all_stats
from tests.web.fakes import FakeDevice, FakeNic, observe


def numbers(later: float = 0.0, delivered: int = 0) -> dict[str, object]:
    """/api/v1/stats of the fake, so many seconds later and with so many more frames offered and delivered."""
    found: dict[str, object] = json.loads(json.dumps(all_stats(observe(FakeNic()), 165.0 + later)))
    for name in ("offered", "delivered"):
        found[name] = int(str(found[name])) + delivered
    return found


def test_two_row_tables_line_up() -> None:
    lines = stats(numbers()).splitlines()
    assert lines[0] == "tap:golden0: <UP,READY> mtu 1500 delivery direct stack inet rx_ring 256 up 1m05s"
    assert lines[1] == "    link/ether 02:00:5e:10:00:01 chip Am79C970A backend tap resets 1"
    assert lines[2:4] == ["    inet 192.0.2.2 preferred", "    inet6 2001:db8::2 tentative"]
    lines = lines[2:]
    assert lines[2].split() == ["RX:", "bytes", "offered", "delivered", "filtered", "in", "flight"]
    assert lines[3].split() == ["54000", "1000", "900", "12", "2"]
    assert len(lines[2]) == len(lines[3])
    assert lines[4].split() == ["RX", "dropped:", "kernel", "card", "driver", "queue"]
    assert lines[5].split() == ["60", "20", "6", "0"]


def test_flat_names_are_there_for_everything_that_is_counted() -> None:
    flat = dict(flatten(numbers()))
    assert flat["dropped_kernel"] == flat["dropped_kernel_tap_queue_full"] + flat["dropped_kernel_shed"] == 60
    assert flat["receive_errors_crc"] == 5
    assert flat["stack_udp_delivered"] == 899
    assert flat["ring_descriptors_rx_host"] == 2
    assert flat["burst_frames_count"] == 2
    assert not {name for name in flat if name.startswith(("settings", "build", "ready"))}
    assert "     dropped_card_miss: 20" in stats(numbers()).splitlines()


def test_an_earlier_reading_gives_rates() -> None:
    text = stats(numbers(later=2.0, delivered=5000), numbers())
    assert "     delivered: 5900  (2,500/s)" in text.splitlines()
    assert "2,500/s" in text.splitlines()[6]
    assert "     dropped_card_miss: 20" in text.splitlines()


def test_what_is_wrong_is_in_the_heading() -> None:
    observed = observe(FakeNic(device_up=False, device=FakeDevice("tap:gone")))
    lines = stats(json.loads(json.dumps(all_stats(observed, 100.0 + 7384)))).splitlines()
    assert lines[0].startswith("tap:gone: <LOST> ")
    assert lines[0].endswith(" up 2h03m04s")
    assert lines[1] == "    not ready: device tap:gone is lost"


def test_descriptors_and_registers_are_a_line_each() -> None:
    nic = FakeNic()
    lines = ring(decode.ring(nic.ring_words())).splitlines()
    assert lines[0] == "rx ring: 2 descriptors, 1 the card's, 1 ours"
    assert lines[2] == "      0 card  0x00001000  2048     0  OWN"
    assert lines[3] == "      1 host  0x00002000  2048    64  STP ENP"
    assert lines[4] == "tx ring: 1 descriptors, 0 the card's, 1 ours"
    assert registers(decode.registers(nic.registers())).splitlines() == [
        "CSR0    0x0073  INEA RXON TXON STRT INIT",
        "CSR112  0x0014",
    ]


def test_sockets_line_up_and_what_is_left_out_is_said() -> None:
    listener = {"protocol": "tcp", "state": "listen", "receive_queue": 0, "send_queue": 0, "local": "0.0.0.0:80"}
    way = {"congestion": "cubic", "cwnd": 14480, "rtt": 0.0005}
    one = {**listener, "state": "time-wait", "send_queue": 70000, "local": "[2001:db8::2]:80", "peer": "[::1]:4"}
    listed = [{**listener, "peer": "*", "details": {}}, {**one, "details": way}]
    lines = sockets({"listed": listed, "left_out": 3}).splitlines()
    assert lines[1].split() == ["tcp", "listen", "0", "0", "0.0.0.0:80", "*"]
    assert lines[2].split() == ["tcp", "time-wait", "0", "70000", "[2001:db8::2]:80", "[::1]:4"]
    assert [line.index("Peer" if at == 0 else "*" if at == 1 else "[::1]") for at, line in enumerate(lines[:3])] == [
        lines[0].index("Peer")
    ] * 3
    assert lines[3].strip() == "congestion:cubic cwnd:14480 rtt:0.500ms"
    assert lines[4:] == ["and 3 more"]
    assert len(sockets({"listed": [], "left_out": 0}).splitlines()) == 1


def test_the_sources_are_a_line_each() -> None:
    rows = [
        {"source": "203.0.113.0/24", "share": 0.9312, "dropped": 12},
        {"source": "2001:db8::/64", "share": 0.0, "dropped": 0},
    ]
    assert sources(rows).splitlines() == [
        "  Share       Dropped  Source",
        "  93.1%            12  203.0.113.0/24",
        "   0.0%             0  2001:db8::/64",
    ]


def test_the_exporters_are_a_line_each() -> None:
    row = {"missing": 18, "received": 40, "late": 2, "duplicate": 1, "restarts": 0, "port": 2055, "domain": "00000007"}
    assert exporters([row | {"protocol": "netflow9", "exporter": "203.0.113.1"}]).splitlines() == [
        "  Missing   Received       Late      Twice       Anew       Port  Protocol  Exporter",
        "       18         40          2          1          0       2055  netflow9  203.0.113.1 00000007",
    ]
