"""How many threads the linear algebra of numpy and scipy uses."""

import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

# The environment variables with which a user sets the number of threads.
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def use_one_blas_thread(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return a function that runs with one BLAS thread, unless an environment variable sets another number.

    The matrices of a recurrent network are small. On a busy machine, several threads mostly wait for each
    other: such a call takes ten times as long. The number of threads is set back at the end of the call.

    Examples
    --------
    >>> @use_one_blas_thread
    ... def double(x):
    ...     return 2 * x
    >>> double(21)
    42
    """

    @wraps(function)
    def limited(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if any(name in os.environ for name in THREAD_VARIABLES):
            return function(*args, **kwargs)
        # scipy has a BLAS of its own, which can be limited once it is loaded
        import scipy.linalg  # noqa: F401
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited
