"""One place where work is spread over cores, and held to a time limit."""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from threadpoolctl import threadpool_limits

N_WORKERS = os.cpu_count() or 1
N_SMALL = 20_000  # cells below which all matrices are small: more threads would only wait for each other
Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], executor: Executor | None = None
) -> list[Result]:
    """work(item) of each item, on all cores: each on one, as more would only wait for each other.

    executor : runs the work in place of threads of this process, and is left open.
    """
    with threadpool_limits(1), nullcontext(executor) if executor else _threads() as pool:
        return list(pool.map(work, items))


def _threads() -> ThreadPoolExecutor:
    import torch  # takes seconds to import: not for those who only want a time limit

    return ThreadPoolExecutor(N_WORKERS, initializer=torch.set_num_threads, initargs=(1,))


def few_threads(n_cells: int) -> AbstractContextManager:
    """One thread for the linear algebra of few cells, all of them for many."""
    return threadpool_limits(1) if n_cells < N_SMALL else nullcontext()


def within(limit: float, call: Callable[[], Result]) -> Result:
    """Result of a call, or TimeoutError: for calls that keep no time limit. The thread that waits on is left behind."""
    future: Future[Result] = Future()

    def work():
        try:
            future.set_result(call())
        except BaseException as problem:
            future.set_exception(problem)

    threading.Thread(target=work, daemon=True).start()
    return future.result(limit)
