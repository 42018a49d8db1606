import copy
import pickle

import pytest

from asyncnic.stacks.inet.peer import Peer
from tests.stacks.inet.wire import HOST, HOST6, PEER, PEER6, packed


@pytest.mark.parametrize(
    ("address", "own", "plain", "local"),
    [(PEER, HOST, (PEER, 5000), (HOST, 7)), (PEER6, HOST6, (PEER6, 5000, 0, 0), (HOST6, 7, 0, 0))],
)
def test_a_peer_is_the_tuple_that_socket_has_and_knows_our_address(
    address: str, own: str, plain: tuple[object, ...], local: tuple[object, ...]
) -> None:
    peer = Peer.of(packed(address), 5000, packed(own), 7)
    assert peer == plain
    assert {plain: "found"}[peer] == "found"
    assert peer[:2] == plain[:2]
    assert repr(peer) == repr(plain)
    assert peer.local == local
    for same in (copy.copy(peer), copy.deepcopy(peer), pickle.loads(pickle.dumps(peer))):
        assert same == peer
        assert same.local == local
