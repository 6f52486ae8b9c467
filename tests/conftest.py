import os
import shutil
import signal

import numpy as np
import pytest
from filelock import FileLock

from scripts import datasets
from scripts.cells import loading
from scripts.report.run import Run
from scripts.sources import cells
from tests import chain_runs

MARKS = {"small_run": "chain", "paul15_run": "chain", "browser": "browser", "paul15": "slow"}  # by what a test needs


def pytest_configure(config):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a shell, and by inheritance
    os.environ.pop("PYTEST_ADDOPTS", None)  # tests that run pytest in a process of its own choose its options


def pytest_collection_modifyitems(items):
    """Mark tests by what they need, and put those of whole runs first: the dearest at the end would run alone."""
    for item in items:
        for fixture in MARKS.keys() & item.fixturenames:
            item.add_marker(MARKS[fixture])
    items.sort(key=lambda item: [fixture not in item.fixturenames for fixture in ("paul15_run", "small_run")])


@pytest.fixture(scope="session")
def paul15():
    """(adata, train, val, test) of Paul15 at its default settings; skipped where the data cannot be had."""
    try:
        return datasets.myeloid_dev_freq(k_neighbors=10, n_freq_comps=5)
    except ConnectionError as problem:
        if os.environ.get("BMLP_REQUIRE_PAUL15"):
            raise
        pytest.skip(str(problem))


@pytest.fixture(scope="session")
def pbmc():
    """pbmc68k_reduced, which every machine has, with five frequencies and else at its default settings."""
    return datasets.prepare(cells.resolve("pbmc68k_reduced"), loading.Preparation(n_freq_comps=5))


def made_once(tmp_path_factory, dataset, settings):
    """Run of the whole chain, made by the first process of tests that asks for it, for all of them to read."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / f"whole-{dataset}"
    kept = folder / "kept"
    with FileLock(f"{folder}.lock"):
        if not kept.exists():
            folder.mkdir(exist_ok=True)
            done = chain_runs.report(folder, dataset, "run", settings)
            assert done.returncode == 0, done.stderr
            assert str(folder / "run" / "index.html") in done.stdout
            # a copy: its notebooks, executed again, clear the folder that they were made in
            shutil.copytree(folder / "run", kept)
    return Run(kept)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """Run of the whole chain on pbmc68k_reduced with small settings, for reading."""
    return made_once(tmp_path_factory, "pbmc68k_reduced", chain_runs.SMALL)


@pytest.fixture(scope="session")
def paul15_run(paul15, tmp_path_factory):
    """Run of the whole chain on Paul15 at its default settings, for reading."""
    return made_once(tmp_path_factory, "paul15", {})


@pytest.fixture
def weights():
    """Random factors (w_l, w_r, w_p) of a bilinear model: 40 genes, 6 hidden units, 3 frequencies."""
    random = np.random.default_rng(0)
    return random.normal(size=(6, 40)), random.normal(size=(6, 40)), random.normal(size=(3, 6))
