"""A caller's map, threads among them, changes no number."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import gradflow
from tests.layouts.test_files import FILES

CALLS = {
    "lyapunov": lambda map: gradflow.lyapunov("rnn:gain=3", hidden=16, steps=400, map=map),
    "lyapunov_tolerance": lambda map: gradflow.lyapunov(
        "gru", hidden=4, features=2, steps=64, tolerance=0.02, map=map
    ),
    "lyapunov_starts": lambda map: gradflow.lyapunov(
        "rnn:init=ginibre,gain=3", hidden=8, steps=200, input="zero", seeds=2, map=map
    ),
    "compare": lambda map: gradflow.compare(
        "rnn", "lstm", "gru:layers=2", hidden=4, steps=20, seeds=5, norm="2,min", pair_map=True, map=map
    ),
    "theory": lambda map: gradflow.theory(
        "rnn:init=ginibre", gain=1.5, hidden=12, steps=60, seeds=3, map=map
    ),
    "theory_sweep": lambda map: gradflow.theory(
        "ginibre", gain="0.5:1.5:0.5", hidden=3, steps=60, seeds=2, map=map
    ),
    "bptt": lambda map: gradflow.bptt("lstm", hidden=4, steps=20, pair_map=True, map=map),
    "init": lambda map: gradflow.init("lstm", hidden=6, features=3, horizon=30, seeds=3, map=map),
    "derive": lambda map: gradflow.derive("gates", map=map),
    "inspect": lambda map: gradflow.inspect(
        FILES / "equinox_gru.npz", FILES / "haiku_lstm.npz", length=20, map=map
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_four_threads_give_the_same_bytes_as_none(call):
    plain = gradflow.to_text(call(map), "json")
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            assert gradflow.to_text(call(pool.map), "json") == plain
