"""Tables whose columns are computed when they are first read."""

import copy
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from gradflow.record import column
from gradflow.table import Table, defer_column


@dataclass(frozen=True, eq=False, repr=False)
class Squares(Table):
    number: list[int] = column("a number")
    square: list[int] = column("its square")


def test_a_deferred_column_is_computed_once_when_it_is_first_read():
    calls = []
    table = Squares([1, 2, 3], defer_column(lambda: calls.append(1) or [1, 4, 9]))
    assert len(table) == 3
    assert not calls
    assert table.square == table["square"] == [1, 4, 9]
    assert [row["square"] for row in table] == [1, 4, 9]
    assert "9" in repr(table)
    assert calls == [1]
    with pytest.raises(AttributeError, match="cube"):
        _ = table.cube


def test_a_table_with_a_deferred_column_can_be_copied_and_pickled():
    table = Squares([1, 2], defer_column(lambda: [1, 4]))
    assert copy.copy(table).square == [1, 4]
    assert pickle.loads(pickle.dumps(table)).to_dict() == {"number": [1, 2], "square": [1, 4]}


def test_several_threads_compute_a_deferred_column_once():
    calls = []

    def compute():
        calls.append(1)
        time.sleep(0.05)
        return [1, 4]

    table = Squares([1, 2], defer_column(compute))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: table.square, range(8))) == [[1, 4]] * 8
    assert calls == [1]


def test_a_deferred_column_is_listed_before_it_is_computed():
    table = Squares([1, 2], defer_column(lambda: [1, 4]))
    assert {"number", "square"} <= set(dir(table))
