"""One place where work is spread over cores or a cluster, held to a time limit, or kept from being disturbed."""

import functools
import io
import logging
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from scripts.errors import InputError

N_WORKERS = os.cpu_count() or 1
N_SMALL = 20_000  # cells below which all matrices are small: more threads would only wait for each other
SCHEDULER = "BMLP_SCHEDULER"  # environment variable with the address of a Dask scheduler, for all processes of a run
FILES = "BMLP_FILES"  # environment variable with the folder for what many tasks read, where workers see it, too
LOCAL = "local"  # in place of an address: a scheduler and a worker for each core, on this machine
UNDER_WAY = 3  # items for each thread of a cluster that are handed to it at a time, with all that they need
# distributed would give freed memory back to the system at once, and ask for it again with each array of a block
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(2**27), "MALLOC_MMAP_THRESHOLD_": str(2**22), "MALLOC_ARENA_MAX": "2"}
PATIENCE = 30  # seconds after which workers that give no result are looked at
N_ASKED = 4  # how often, before one that is paused is taken for lost
ANSWER = 20  # seconds that a scheduler may take to answer
Item = TypeVar("Item")
Result = TypeVar("Result")
_here = threading.local()  # is_worker: this thread does the work of a cluster, and hands none on


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item], here: bool = False) -> list[Result]:
    """work(item) of each item, on all cores, or by a cluster: see `in_order`."""
    return list(in_order(work, items, here))


def in_order(work: Callable[[Item], Result], items: Iterable[Item], here: bool = False) -> Iterator[Result]:
    """work(item) of each item, in order, as soon as it is done; each on one core: more would only wait for each other.

    On the cores of this process, or by the workers of the cluster whose scheduler the environment names (`SCHEDULER`).

    here : on the cores of this process in any case, for results that share the memory of what they were made from.
    """
    items, client = list(items), _client()
    if getattr(_here, "is_worker", False):
        yield from map(work, items)
    elif client and len(items) > 1 and not here:
        yield from _by_workers(client, work, items)
    else:
        with threadpool_limits(1), _threads() as pool:
            yield from pool.map(work, items)


@contextmanager
def in_files(n_items: int) -> Iterator[Path | None]:
    """A new folder for what the tasks of n_items read, deleted at the end: no message is as fast as a file.

    None where no cluster does the work, no folder is named (`FILES`), or not all workers see it.
    """
    client, folder = _client() if n_items > 1 else None, os.environ.get(FILES)
    if client is None or folder is None:
        yield None
        return
    Path(folder).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        yield Path(own) if all(client.run(os.path.isdir, own).values()) else None


def _threads() -> ThreadPoolExecutor:
    import torch  # takes seconds to import: not for those who only want a time limit

    return ThreadPoolExecutor(N_WORKERS, initializer=torch.set_num_threads, initargs=(1,))


def _by_workers(client: Any, work: Callable[[Item], Result], items: list[Item]) -> Iterator[Result]:
    """`in_order` by the workers of a cluster. What died with a worker, the work itself too, is done or sent again.

    The work goes to the scheduler once, as a task of its own, and from worker to worker; items go along with
    their tasks, a few of them at a time, as the scheduler holds what it may have to send again.
    """
    import dask.config
    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    n_threads = sum(client.nthreads().values())
    tasks: deque[Any] = deque()
    options = {"pure": False, "retries": 2}
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):  # they are what is worked on
        try:
            held = client.submit(_itself, work, **options)
            for item in items:
                tasks.append(client.submit(_work_of_cluster, held, item, **options))
                if len(tasks) >= UNDER_WAY * max(1, n_threads):
                    yield _result(client, tasks.popleft())
            while tasks:
                yield _result(client, tasks.popleft())
        except KilledWorker as error:
            raise InputError(
                f"a task was given up after its worker died {error.allowed_failures + 1} times, perhaps for lack of "
                "memory: give the workers more (--memory-limit)"
            ) from None
        except FileNotFoundError as error:
            raise InputError(
                f"a worker does not see {error.filename}: start workers on machines that see the folder of the run"
            ) from None
        except (CommClosedError, CancelledError) as error:
            address = os.environ.get(SCHEDULER)
            raise InputError(
                f"the Dask scheduler at {address} is gone ({type(error).__name__}): start it again"
            ) from None


def _result(client: Any, task: Any) -> Any:
    """What a task gives; InputError where a worker that is paused for lack of memory keeps tasks and does none."""
    n_asked = 0
    while True:
        try:
            return task.result(timeout=PATIENCE)
        except TimeoutError:
            if task.status == "error":  # the work itself has raised it
                raise
        n_asked += 1
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        counts = [worker["metrics"]["task_counts"] for worker in workers if worker["status"] == "paused"]
        if n_asked >= N_ASKED and any("ready" in count and "executing" not in count for count in counts):
            raise InputError(
                "a worker is paused for lack of memory, and does not go on: give workers more (--memory-limit)"
            )


def _itself(work: Callable[[Item], Result]) -> Callable[[Item], Result]:
    return work


def _work_of_cluster(work: Callable[[Item], Result], item: Item) -> Result:
    """work(item) on one core of a worker."""
    import torch

    torch.set_num_threads(1)
    _here.is_worker = True
    with threadpool_limits(1), redirect_stderr(io.StringIO()):  # nobody reads what bars show there
        return work(item)


def _client() -> Any:
    """Client of distributed, of the scheduler that the environment names; None where it names none."""
    address = os.environ.get(SCHEDULER)
    return _connected(address) if address and not getattr(_here, "is_worker", False) else None


@functools.cache
def _connected(address: str) -> Any:
    from distributed import Client

    try:
        return Client(address, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # ValueError: no address; TypeError: of an unknown protocol
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({type(error).__name__}): start one (dask scheduler), give its "
            f"address as tcp://host:8786, or choose {LOCAL!r}"
        ) from None


@contextmanager
def cluster(scheduler: str | None, version: Callable[[], str]) -> Iterator[None]:
    """Within, all work that can be spread goes to the workers of a Dask cluster, by this process and those it starts.

    Parameters
    ----------
    scheduler : str, optional
        Address of one that runs, such as tcp://host:8786, or "local"; nothing is changed if not given.
    version : function
        What has to give the same here as on the workers.

    Raises
    ------
    InputError
        If no scheduler answers, it has no workers, or their program is another one.
    """
    if not scheduler:
        yield
        return
    before = os.environ.get(SCHEDULER)
    with _local() if scheduler == LOCAL else nullcontext(scheduler) as address, closing(_connected(address)) as client:
        _check_workers(client, scheduler, version)
        os.environ[SCHEDULER] = address
        try:
            yield
        finally:
            os.environ.pop(SCHEDULER)
            os.environ |= {SCHEDULER: before} if before else {}
            _connected.cache_clear()


@contextmanager
def _local() -> Iterator[str]:
    """A cluster on this machine that no other can reach; gives the address of its scheduler."""
    from distributed import LocalCluster

    found: Any
    own = "127.0.0.1"
    options = {"host": own, "dashboard_address": f"{own}:0", "silence_logs": logging.CRITICAL}  # errors are raised
    with LocalCluster(n_workers=N_WORKERS, threads_per_worker=1, env=MALLOC, **options) as found:
        yield found.scheduler_address


def _check_workers(client: Any, scheduler: str, version: Callable[[], str]) -> None:
    if not client.nthreads():
        raise InputError(f"the Dask scheduler at {scheduler} has no workers: start some (dask worker {scheduler})")
    try:
        of_workers = set(client.run(version).values())
    except ModuleNotFoundError as error:
        raise InputError(
            f"the workers of {scheduler} cannot import {error.name}: start them in this project's environment, with "
            "PYTHONPATH set to its folder"
        ) from None
    if of_workers != {version()}:
        raise InputError(
            f"the workers of {scheduler} run another version of this program or of its libraries: start them from the "
            "same folder and environment"
        )


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
