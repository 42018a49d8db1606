from asyncnic.stacks.inet.nexthop import LIMIT
from tests.stacks.inet.wire import FAR, FAR6, HOST, HOST6, MAC, ROUTER_MAC, Bench, arp, echo4, icmp6, ipv4, ipv6, packed

OTHER_MAC = bytes.fromhex("0200000000fd")


def test_an_answer_off_the_link_goes_back_by_the_router_that_asked() -> None:
    bench = Bench()
    assert bench.feed(ipv4(1, echo4(b"far"), FAR, source_mac=ROUTER_MAC)) == {("icmp", "echo_request"): 1}
    reply = bench.reply()
    assert reply[:6] == ROUTER_MAC
    assert reply[30:34] == packed(FAR)
    question = ipv6(58, icmp6(128, 0, b"\0\x01\0\x01far6", FAR6), FAR6, source_mac=ROUTER_MAC)
    assert bench.feed(question) == {("icmpv6", "echo_request"): 1}
    assert bench.reply()[:6] == ROUTER_MAC


def test_a_gateway_is_resolved_and_used() -> None:
    bench = Bench(HOST + "/24", gateways=("192.0.2.254",))
    bench.feed(ipv4(1, echo4(b"far"), FAR, source_mac=ROUTER_MAC))
    question = bench.reply()
    assert question[38:42] == packed("192.0.2.254")
    bench.feed(arp(2, "192.0.2.254", HOST, mac=ROUTER_MAC, target=MAC))
    assert bench.reply()[:6] == ROUTER_MAC
    assert len(bench.inet.v4.hops) == 0


def test_routers_are_remembered_for_few_hosts() -> None:
    bench = Bench()
    sources = [f"198.51.{number >> 8}.{number & 255}" for number in range(LIMIT + 100)]
    bench.feed(*(ipv4(1, echo4(b"", kind=0), source, source_mac=ROUTER_MAC) for source in sources))
    assert len(bench.inet.v4.hops) == LIMIT


def test_a_router_that_is_held_outlives_the_others_and_is_followed() -> None:
    bench = Bench()
    hops, far = bench.inet.v4.hops, packed(FAR)
    question = ipv4(1, echo4(b"", kind=0), FAR, source_mac=ROUTER_MAC)
    crowd = [ipv4(1, echo4(b"", kind=0), f"203.0.{number >> 8}.{number & 255}") for number in range(LIMIT)]
    hops.hold(far)
    bench.feed(question)
    hops.hold(far)
    bench.feed(*crowd)
    assert hops.link_header(far) == ROUTER_MAC + MAC + b"\x08\x00"
    hops.release(far)
    bench.feed(ipv4(1, echo4(b"", kind=0), FAR, source_mac=OTHER_MAC), *crowd)
    assert hops.link_header(far) == OTHER_MAC + MAC + b"\x08\x00"
    hops.release(far)
    assert hops.link_header(far) == OTHER_MAC + MAC + b"\x08\x00"
    bench.feed(*crowd)
    assert hops.link_header(far) is None
    assert len(hops) == LIMIT


def test_neighbours_are_not_remembered_as_routed() -> None:
    bench = Bench()
    bench.feed(ipv4(1, echo4(b"", kind=0)), ipv6(58, icmp6(129, 0, bytes(4))))
    assert len(bench.inet.v4.hops) == len(bench.inet.v6.hops) == 0
    assert bench.inet.v6.addresses.on_link(packed(HOST6))
