import os
import shutil
import signal

import numpy as np
import pytest

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
    for item in items:
        for fixture in MARKS.keys() & item.fixturenames:
            item.add_marker(MARKS[fixture])


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


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """Run of the whole chain on pbmc68k_reduced with small settings, for reading."""
    folder = tmp_path_factory.mktemp("reports")
    done = chain_runs.report(folder, "pbmc68k_reduced", "small", chain_runs.SMALL)
    assert done.returncode == 0, done.stderr
    assert str(folder / "small" / "index.html") in done.stdout
    # a copy: its notebooks, executed again, clear the folder that they were made in
    return Run(shutil.copytree(folder / "small", folder / "kept"))


@pytest.fixture(scope="session")
def paul15_run(paul15, tmp_path_factory):
    """Run of the whole chain on Paul15 at its default settings, for reading."""
    folder = tmp_path_factory.mktemp("paul15")
    done = chain_runs.report(folder, "paul15", "run", {})
    assert done.returncode == 0, done.stderr
    return Run(folder / "run")


@pytest.fixture
def weights():
    """Random factors (w_l, w_r, w_p) of a bilinear model: 40 genes, 6 hidden units, 3 frequencies."""
    random = np.random.default_rng(0)
    return random.normal(size=(6, 40)), random.normal(size=(6, 40)), random.normal(size=(3, 6))
