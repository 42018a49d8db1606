"""Path MTUs: only lowered, never below what the family allows, bounded, and forgotten in time."""

from hypothesis import given
from hypothesis import strategies as st

from asyncnic.stacks.inet.paths import LIFETIME, LIMIT, Paths

HERE, THERE = bytes([192, 0, 2, 1]), bytes([198, 51, 100, 1])


def test_a_target_of_which_nothing_is_known_has_the_links() -> None:
    paths = Paths(1500, 68)
    paths.lower(HERE, 1400, 0.0)
    assert (paths.to(HERE, 1.0), paths.to(THERE, 1.0)) == (1400, 1500)


def test_it_is_forgotten_after_its_time_and_costs_nothing_then() -> None:
    paths = Paths(1500, 68)
    paths.lower(HERE, 1400, 5.0)
    assert paths.to(HERE, 5.0 + LIFETIME - 0.001) == 1400
    assert paths.to(HERE, 5.0 + LIFETIME) == 1500
    assert len(paths) == 0


def test_a_higher_or_equal_word_neither_raises_it_nor_keeps_it_longer() -> None:
    paths = Paths(1500, 68)
    paths.lower(HERE, 1400, 0.0)
    paths.lower(HERE, 1450, LIFETIME / 2)
    paths.lower(HERE, 1400, LIFETIME / 2)
    assert paths.to(HERE, LIFETIME) == 1500


def test_a_lower_word_counts_anew() -> None:
    paths = Paths(1500, 68)
    paths.lower(HERE, 1400, 0.0)
    paths.lower(HERE, 1300, 100.0)
    assert paths.to(HERE, LIFETIME + 50.0) == 1300


@given(st.lists(st.tuples(st.integers(0, 4 * LIMIT), st.integers(0, 2000), st.floats(0.0, 3 * LIFETIME))))
def test_whatever_routers_say_it_stays_within_bounds(words: list[tuple[int, int, float]]) -> None:
    paths = Paths(1500, 1280)
    for target, mtu, now in words:
        paths.lower(target.to_bytes(4, "big"), mtu, now)
        assert 1280 <= paths.to(target.to_bytes(4, "big"), now) <= 1500
        assert len(paths) <= LIMIT


def test_the_oldest_makes_room() -> None:
    paths = Paths(1500, 68)
    for target in range(LIMIT + 1):
        paths.lower(target.to_bytes(4, "big"), 1000, 0.0)
    assert len(paths) == LIMIT
    assert [paths.to(target.to_bytes(4, "big"), 1.0) for target in (0, 1, LIMIT)] == [1500, 1000, 1000]
