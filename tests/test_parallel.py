"""Work on the cores of a process, and by the workers of a Dask cluster: the same results, also where workers die."""

import os
import pickle
import signal
import threading
import time
from functools import partial

import numpy as np
import pytest
from scipy import sparse

from scripts import parallel
from scripts.blocks import Filed, Some, Weighted, dense, scatter, shared
from scripts.errors import InputError
from scripts.graph import nearest_neighbors
from scripts.parallel import cluster, in_order, side_by_side

MEMORY = "4GB"  # of each worker
NO_PORT = "127.0.0.1:0"  # any that is free


def test_results_come_in_the_order_of_the_items():
    assert side_by_side(lambda item: item**2, range(50)) == [item**2 for item in range(50)]


def test_results_come_as_soon_as_they_are_done():
    found = in_order(lambda item: time.sleep(item) or item, [0, 1])
    begin = time.monotonic()
    assert next(found) == 0 and time.monotonic() - begin < 0.9
    assert list(found) == [1]


@pytest.fixture(scope="module")
def workers():
    """Two workers of one thread; their scheduler, by its address."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit=MEMORY, host="127.0.0.1", dashboard_address=NO_PORT
    ) as started:
        yield started


WAYS = ("messages", "files")


@pytest.fixture(params=WAYS)
def way(request, tmp_path, monkeypatch):
    """How cells reach the workers."""
    if request.param == "files":
        monkeypatch.setenv(parallel.FILES, str(tmp_path / "shared"))
    return request.param


@pytest.fixture
def spread(workers):
    """Within, work goes to the two workers."""
    with cluster(workers.scheduler_address, lambda: ""):
        yield workers


def process(_):
    return os.getpid()


def test_work_is_shared_by_the_workers_and_nothing_that_they_do_is_shared_again(spread):
    found = side_by_side(lambda _: time.sleep(0.05) or [os.getpid(), *side_by_side(process, range(3))], range(12))
    own = {one for one, *nested in found}
    assert len(own) == 2 and os.getpid() not in own
    assert all(set(nested) == {one} for one, *nested in found)
    assert side_by_side(process, range(4), here=True) == [os.getpid()] * 4
    assert side_by_side(lambda item: item**2, range(50)) == [item**2 for item in range(50)]


def test_few_items_are_under_way_at_a_time_and_a_worker_gets_of_cells_those_it_works_on(spread):
    X, sent = np.zeros((100, 1000)), []

    class Cells:
        def __init__(self, start):
            self.start = start

        def __reduce__(self):
            sent.append(self.start)
            return np.copy, (X[self.start : self.start + 5],)

    found = in_order(np.shape, [Cells(start) for start in range(0, 100, 5)])
    assert next(found) == (5, 1000) and len(set(sent)) <= 2 * parallel.UNDER_WAY
    assert list(found) == [(5, 1000)] * 19


def wrong(item):
    raise InputError(f"item {item} is wrong: mend it")


def test_what_work_raises_is_raised(spread):
    with pytest.raises(InputError, match="item 0 is wrong: mend it"):
        side_by_side(wrong, range(5))


def one_that_dies(item):
    if item == 2:
        os._exit(1)
    return item


def test_work_that_kills_its_workers_is_given_up(spread):
    with pytest.raises(InputError, match="given up after its worker died 4 times, perhaps for lack of memory"):
        side_by_side(one_that_dies, range(4))
    spread.wait_for_workers(2)
    assert side_by_side(abs, range(4)) == [0, 1, 2, 3]


def test_a_worker_that_is_paused_for_lack_of_memory_is_one_line(monkeypatch):
    import dask.config
    from distributed import LocalCluster

    monkeypatch.setattr(parallel, "PATIENCE", 0.5)
    limits = {"distributed.worker.memory.pause": 0.01, "distributed.worker.memory.terminate": False}
    own = {"host": "127.0.0.1", "dashboard_address": NO_PORT}
    with (
        dask.config.set(limits),
        LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=MEMORY, **own) as started,
        cluster(started.scheduler_address, lambda: ""),
        pytest.raises(InputError, match="a worker is paused for lack of memory, and does not go on: give workers more"),
    ):
        side_by_side(abs, range(4))


def test_a_scheduler_that_ends_is_one_line():
    from distributed import LocalCluster

    own = {"host": "127.0.0.1", "dashboard_address": NO_PORT}
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, **own) as started,
        cluster(started.scheduler_address, lambda: ""),
        pytest.raises(InputError, match=r"the Dask scheduler at tcp://127.0.0.1:\d+ is gone \(\w+\): start it again"),
    ):
        ended = threading.Timer(1, started.close)
        ended.start()
        side_by_side(time.sleep, [0.5] * 20)
    ended.join()


def test_a_timeout_of_the_work_is_its_own(spread, monkeypatch):
    monkeypatch.setattr(parallel, "PATIENCE", 0.1)
    with pytest.raises(TimeoutError, match="of item 0"):
        side_by_side(too_late, range(2))


def too_late(item):
    raise TimeoutError(f"of item {item}")


@pytest.fixture(scope="module")
def points():
    random = np.random.default_rng(0)
    centres = random.normal(size=(30, 40)).astype(np.float32)
    return centres[random.integers(30, size=30_000)] + random.normal(size=(30_000, 40), scale=0.4).astype(np.float32)


@pytest.fixture(scope="module")
def counts():
    found = sparse.random(70_000, 300, 0.05, format="csr", dtype=np.float32, random_state=0)
    return Weighted(found, np.arange(0, 300, 2), np.linspace(0.5, 2, 150))


@pytest.fixture(scope="module")
def alone(points, counts):
    """Results of one process: neighbours, sums of products, and a fit to each of some cells."""
    return results(points, counts)


def fitted(rows, X):
    return np.linalg.lstsq(X[rows], X[rows].sum(axis=1) ** 2, rcond=None)[0]


def results(points, counts):
    found = nearest_neighbors(points, 10, "euclidean")
    some = [np.arange(start, 30_000, 8) for start in range(8)]
    return found, scatter(counts), np.array(side_by_side(partial(fitted, X=points), some))


def check(found, expected):
    (near, products, fits), (near_alone, products_alone, fits_alone) = found, expected
    assert near.recall == near_alone.recall
    assert np.array_equal(near.indices, near_alone.indices) and np.array_equal(near.distances, near_alone.distances)
    np.testing.assert_allclose(products, products_alone, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fits, fits_alone, rtol=1e-5)


def test_workers_find_what_one_process_does(spread, way, tmp_path, alone, points, counts):
    check(results(points, counts), alone)
    assert not any((tmp_path / "shared").glob("*"))


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_rows_of_cells_in_files_are_those_of_the_cells(form, tmp_path):
    X = sparse.random(50, 20, 0.3, format="csr", dtype=np.float32, random_state=0).toarray()
    filed = Filed.of(form(X), tmp_path)
    assert filed.shape == X.shape and filed.dtype == X.dtype
    for rows in (slice(5, 20), slice(None), np.array([7, 3, 3, 49])):
        assert type(filed[rows]) is type(form(X)[rows]) or isinstance(filed[rows], np.ndarray)
        np.testing.assert_array_equal(dense(filed[rows]), X[rows])


def size_of(cells):
    return len(pickle.dumps(cells)), float(cells.values().sum())


def test_cells_in_files_are_not_sent(spread, tmp_path, monkeypatch):
    X = np.ones((1000, 100))
    items = [slice(start, start + 100) for start in range(0, 1000, 100)]
    for folder, most in ((None, 90_000), (tmp_path, 2_000)):
        if folder:
            monkeypatch.setenv(parallel.FILES, str(folder))
        with shared(X, len(items)) as cells:
            assert all(len(pickle.dumps(Some(cells, rows))) < most for rows in items) or not folder
            found = side_by_side(size_of, [Some(cells, rows) for rows in items])
        assert [total for _, total in found] == [10_000.0] * 10
        assert all((size < 2_000) == bool(folder) for size, _ in found)


def test_files_that_workers_do_not_see_are_not_used(spread, tmp_path, monkeypatch):
    monkeypatch.setenv(parallel.FILES, str(tmp_path))
    unseen = {"first": True, "second": False}
    monkeypatch.setattr(type(parallel._client()), "run", lambda self, work, *args: unseen)
    with parallel.in_files(2) as folder:
        assert folder is None
    assert not any(tmp_path.iterdir())


def lost(item):
    return np.load(item)


def test_a_worker_that_does_not_see_a_file_is_one_line(spread):
    with pytest.raises(InputError, match="a worker does not see /nowhere/0.npy: start workers on machines that see"):
        side_by_side(lost, ["/nowhere/0.npy", "/nowhere/1.npy"])


def test_workers_search_coded_lists_as_one_process_does(spread, way):
    X = np.random.default_rng(0).normal(size=(4_000, 48)).astype(np.float32)
    found = nearest_neighbors(X, 10, "euclidean", n_exact=1_000)
    assert found.lists.coded
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(parallel.SCHEDULER)
        expected = nearest_neighbors(X, 10, "euclidean", n_exact=1_000)
    assert np.array_equal(found.indices, expected.indices) and found.recall == expected.recall


@pytest.fixture(scope="module")
def seconds(workers, points, counts):
    """How long two workers take."""
    with cluster(workers.scheduler_address, lambda: ""):
        begin = time.monotonic()
        results(points, counts)
        return time.monotonic() - begin


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "way"), list(zip([0.1, 0.3, 0.5, 0.7, 0.9], [*WAYS, *WAYS, WAYS[1]], strict=True)), indirect=["way"]
)
def test_a_worker_may_die_at_any_moment(spread, way, alone, points, counts, seconds, moment):
    victim, *_ = side_by_side(process, range(2))
    died = threading.Timer(moment * seconds, os.kill, (victim, signal.SIGKILL))
    died.start()
    check(results(points, counts), alone)
    died.join()
    spread.wait_for_workers(2)
    assert victim not in set(side_by_side(process, range(20)))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:9", r"no Dask scheduler answers at 'tcp://127.0.0.1:9' \(OSError\): start one"),
        ("nonsense", r"no Dask scheduler answers at 'nonsense' \(\w+\): start one"),
        ("pigeon://a:1", r"no Dask scheduler answers at 'pigeon://a:1' \(\w+\): start one"),
    ],
)
def test_a_scheduler_that_is_not_there_is_one_line(address, said, monkeypatch):
    monkeypatch.setattr(parallel, "ANSWER", 1)
    with pytest.raises(InputError, match=said), cluster(address, lambda: ""):
        pass
    assert parallel.SCHEDULER not in os.environ


def test_workers_of_another_program_are_one_line(workers):
    with (
        pytest.raises(InputError, match="run another version of this program"),
        cluster(workers.scheduler_address, lambda: str(os.getpid())),
    ):
        pass
    assert parallel.SCHEDULER not in os.environ


def test_a_scheduler_without_workers_is_one_line():
    from distributed import Scheduler, SpecCluster

    alone = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": NO_PORT}}
    with (
        SpecCluster(scheduler=alone) as started,
        pytest.raises(InputError, match="has no workers: start some"),
        cluster(started.scheduler_address, lambda: ""),
    ):
        pass


def test_local_workers_are_as_many_as_cores_and_end_with_the_block():
    with cluster(parallel.LOCAL, lambda: ""):
        assert os.environ[parallel.SCHEDULER].startswith("tcp://127.0.0.1:")
        found = set(side_by_side(lambda _: time.sleep(0.1) or os.getpid(), range(4 * parallel.N_WORKERS)))
        assert len(found) == parallel.N_WORKERS
    assert parallel.SCHEDULER not in os.environ
    time.sleep(0.5)
    for pid in found:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
