"""One place where work is spread over cores, held to a time limit, or kept from being disturbed."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
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


@contextmanager
def undisturbed() -> Iterator[list[int]]:
    """Within, signals that end the program are put on the list, and the first takes effect at the end.

    A process that is half-way started when one comes would be nobody's, and write on; so would a module that is
    half-way imported keep others from being imported. What ignores Ctrl-C goes on to ignore it.
    """
    signals: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if usual[signal.SIGINT] is not signal.default_int_handler:
        del usual[signal.SIGINT]
    for number in usual:
        signal.signal(number, lambda sent, _: signals.append(sent))
    try:
        yield signals
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        if signals:
            signal.raise_signal(signals[0])
