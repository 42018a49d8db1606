"""Rows of numbers in memory that does not grow, and numbers out of a tree."""

from asyncnic.recorder.timeline import Timeline, flatten


def test_the_first_row_says_which_columns_there_are_and_old_rows_go() -> None:
    timeline = Timeline(2)
    timeline.add(1, {"offered": 1.0, "delivered": 1.0})
    timeline.add(2, {"delivered": 2.0, "offered": 3.0})
    timeline.add(3, {"offered": 4.0, "unheard of": 9.0})
    assert timeline.columns == ("offered", "delivered")
    assert [(time_ns, list(row)) for time_ns, row in timeline.rows()] == [(2, [3.0, 2.0]), (3, [4.0, 0.0])]


def test_every_number_of_a_tree_is_found_by_its_keys() -> None:
    tree = {"offered": 3, "device": {"up": True, "name": "tap:x", "resets": 1}, "burst": {"counts": [1, 2], "sum": 2.5}}
    assert dict(flatten(tree)) == {"offered": 3.0, "device.up": 1.0, "device.resets": 1.0, "burst.sum": 2.5}
