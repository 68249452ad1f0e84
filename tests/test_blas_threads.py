"""The linear algebra of a call from Python uses one thread, unless the user has set another number."""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

import gradflow
from gradflow.blas_threads import THREAD_VARIABLES, use_one_blas_thread

THREADS_OF_USER = 3


def list_threads():
    """The number of threads of every BLAS that is loaded: numpy's and scipy's."""
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@use_one_blas_thread
def limited_threads():
    return list_threads()


@pytest.fixture
def without_variables(monkeypatch):
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert scipy.linalg.solve(np.eye(2), np.ones(2)).any()  # both libraries are loaded
    with threadpool_limits(limits=THREADS_OF_USER, user_api="blas"):
        yield


@pytest.mark.usefixtures("without_variables")
def test_a_call_has_one_thread_and_gives_the_others_back():
    before = list_threads()
    assert set(before) == {THREADS_OF_USER}
    assert limited_threads() == [1] * len(before)
    assert list_threads() == before


@pytest.mark.usefixtures("without_variables")
@pytest.mark.parametrize("name", THREAD_VARIABLES)
def test_the_number_that_a_user_sets_stays(name, monkeypatch):
    monkeypatch.setenv(name, "2")
    assert limited_threads() == list_threads()


@pytest.mark.usefixtures("without_variables")
def test_the_public_functions_measure_with_one_thread():
    seen = []
    gradflow.compare(
        "rnn", hidden=3, steps=4, seeds=2, progress=lambda done, total: seen.append(list_threads())
    )
    assert seen
    assert all(set(threads) == {1} for threads in seen)
    gradflow.compare("rnn", hidden=3, steps=4, seeds=2)
    assert set(list_threads()) == {THREADS_OF_USER}


def test_a_worker_process_has_one_thread(monkeypatch):
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with ProcessPoolExecutor(1) as pool:
        assert set(pool.submit(limited_threads).result()) == {1}
