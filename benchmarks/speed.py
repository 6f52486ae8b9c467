"""Speed and memory as ratios, both sides in one process and one run: `make bench`.

Every figure is this project's code against the slow reference of the tests on the same data. Run it on an idle machine.
"""

import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable

from scripts.bmlp import Config, ScBMLPRegressor
from scripts.cells import CellDataset
from scripts.datasets import myeloid_dev_freq
from scripts.models import BilinearForm, BilinearRidge
from tests import reference


def seconds(work: Callable[[], object], repeats: int = 1) -> tuple[float, object]:
    """Wall time of a call, and what it returned; of repeated calls the median, as a short one is easily disturbed."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times), result


def report(what: str, ours: float, theirs: float, bound: float, unit: str = "s") -> None:
    """One line: both sides, their ratio and the bound it is meant to keep."""
    print(f"{what}: {ours:.3g} {unit} / {theirs:.3g} {unit} = {ours / theirs:.4f} (bound {bound})", flush=True)


def training(train: CellDataset, val: CellDataset) -> tuple[ScBMLPRegressor, float]:
    """First settings, against torch's item-by-item loader; returns the model and the reference's seconds."""
    first = {"d_hidden": 128, "n_epochs": 500, "lr": 1e-4, "batch_size": 32, "input_components": 0}
    plain = {"bias": False, "standardize": False, "l2": 0.0, "patience": 0}
    sizes = {"d_input": train.x.shape[1], "d_output": train.y.shape[1]}
    model = ScBMLPRegressor(Config(**sizes, **first, **plain), loss_fn="l1")
    ours, losses = seconds(lambda: model.fit(train, val))
    theirs, _ = seconds(lambda: reference.train_seed(train, val))
    report("training, 500 epochs", ours, theirs, 0.75)
    print(f"  validation error at the end: {losses[1][-1]:.4f} (bound 0.0078)")
    return model, theirs


def models_of_today(train: CellDataset, val: CellDataset, reference_seconds: float) -> None:
    """Default models, with all that they choose on validation cells, against the reference's training."""
    sizes = {"d_input": train.x.shape[1], "d_hidden": 64, "d_output": train.y.shape[1]}
    BilinearRidge().fit(train, val)  # wakes the linear algebra library
    ours, _ = seconds(lambda: BilinearRidge().fit(train, val), repeats=5)
    report("closed form", ours, reference_seconds, 0.01)
    ours, _ = seconds(lambda: ScBMLPRegressor(Config(**sizes)).fit(train, val), repeats=5)
    report("gradient descent, default settings", ours, reference_seconds, 0.05)


def eigenmodules(model: ScBMLPRegressor) -> None:
    """Eigenmodules from the factors against dense eigh of every B_f."""
    weights = model.w_l.numpy(), model.w_r.numpy(), model.w_p.numpy()
    genes = [str(i) for i in range(weights[0].shape[1])]

    def from_factors() -> tuple:
        return BilinearForm.from_factors(*weights, genes=genes).modules()

    from_factors()  # wakes the linear algebra library
    ours, _ = seconds(from_factors, repeats=5)
    matrices = reference.interaction_matrices(*weights)
    theirs, _ = seconds(lambda: reference.modules(matrices))
    report("modules", ours, theirs, 0.01)
    tracemalloc.start()
    from_factors()
    print(f"  peak extra memory: {tracemalloc.get_traced_memory()[1] / 1e6:.0f} MB (bound 50 MB)")
    tracemalloc.stop()


def chain(reference_seconds: float) -> None:
    """All notebooks and pages on Paul15 against the reference's training alone."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "scripts", "report", "--dataset", "paul15", "--reports", folder]
        ours, _ = seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    report("whole chain, default settings, against the reference's training", ours, reference_seconds, 0.8)


def main() -> None:
    """Print all ratios."""
    _, train, val, _ = myeloid_dev_freq()
    model, reference_seconds = training(train, val)
    models_of_today(train, val, reference_seconds)
    eigenmodules(model)
    chain(reference_seconds)


if __name__ == "__main__":
    main()
