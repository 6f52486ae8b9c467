"""How well classes are told apart on cells never met, beside what a sceptic would fit instead."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from scripts.blocks import Matrix
from scripts.bmlp import Config, ScBMLPClassifier
from scripts.classes.cells import LabelledCells
from scripts.parallel import side_by_side

BILINEAR, LINEAR, LINEAR_OF_ALL, BLACK_BOX, COMMONEST = (
    "bilinear",
    "logistic regression",
    "logistic regression, all genes",
    "RBF support vectors",
    "most frequent class",
)
COLUMNS = ["split", "method", "true_class", "predicted_class", "n_cells"]
PENALTIES = tuple(10.0 ** np.arange(-1, 3))  # C of logistic regression on components
PENALTIES_OF_ALL = (1e-3, 1e-2, 1e-1)  # and on all genes, of standard deviation 1
COSTS, WIDTHS = (1.0, 10.0), (0.3, 1.0, 3.0)  # C and gamma, this in units of 1 / variance of the cells
MAX_ITERATIONS = 1_000
EARLY = 1e-2  # tolerance of logistic regression on all genes: stopped early, it is both faster and better
PATIENCE, L2, N_FITS = 30, 3e-4, 2  # of the classifier


@dataclass(frozen=True)
class ClassSettings:
    """Sizes of the classifier, and how it is judged."""

    class_components: int = 50  # components of the training cells that are its inputs
    class_products: int = 64  # products (l . x + a)(r . x + b) of the classifier
    class_epochs: int = 150  # passes over the training cells, at most
    class_splits: int = 3  # ways to split the cells that every method is judged on
    random_state: int = 0  # seed of the splits and of the first weights

    def classifier(self, cells: LabelledCells) -> ScBMLPClassifier:
        """A new one for the classes of some cells."""
        config = Config(
            cells.X.shape[1],
            self.class_products,
            len(cells.names),
            n_epochs=self.class_epochs,
            input_components=self.class_components,
            l2=L2,
            patience=PATIENCE,
            n_fits=N_FITS,
            random_state=self.random_state,
        )
        return ScBMLPClassifier(config, cells.names)


def performance_of_classes(
    cells: LabelledCells, settings: ClassSettings
) -> tuple[pd.DataFrame, ScBMLPClassifier | None]:
    """All methods fitted to the same cells, with what they choose chosen on validation cells, and judged on the same.

    The rivals are the most frequent class, logistic regression on the classifier's own inputs and on all genes, and
    support vectors with an RBF kernel on these inputs, a black box.

    Returns
    -------
    table : DataFrame
        split, method, true_class, predicted_class, n_cells : how many held-out cells of one class were taken for which.
    model : ScBMLPClassifier
        That of the first split; None where there are no classes to tell apart.
    """
    parts = cells.splits(settings.class_splits, settings.random_state)

    def judge(number: int) -> tuple[pd.DataFrame, ScBMLPClassifier]:
        model = settings.classifier(cells)
        predicted = predictions(cells, model, *parts[number])
        table = pd.DataFrame(predicted).assign(true_class=cells.labels[parts[number][2]])
        tidy = table.melt("true_class", var_name="method", value_name="predicted_class")
        counts = tidy.groupby(["method", "true_class", "predicted_class"], sort=False).size()
        return counts.rename("n_cells").reset_index().assign(split=number)[COLUMNS], model

    judged = side_by_side(judge, range(len(parts)))
    if not judged:
        return pd.DataFrame(columns=COLUMNS), None
    return pd.concat([table for table, _ in judged], ignore_index=True), judged[0][1]


def predictions(
    cells: LabelledCells, model: ScBMLPClassifier, train: np.ndarray, val: np.ndarray, test: np.ndarray
) -> dict[str, np.ndarray]:
    """Classes of the test cells by every method, (n_test,) str each; the model is fitted as well."""
    model.fit(cells.dataset(train), cells.dataset(val))
    names, counts = np.unique(cells.labels[train], return_counts=True)

    def best_of(makers: list, inputs: Matrix) -> np.ndarray:
        known, held_out = inputs[train], inputs[val]
        fitted = [maker.fit(known, cells.labels[train]) for maker in makers]
        right = [(each.predict(held_out) == cells.labels[val]).mean() for each in fitted]
        return fitted[int(np.argmax(right))].predict(inputs[test])

    inputs = model.inputs(cells.X)
    scale = inputs[train].var(axis=0).sum()
    logistic = [LogisticRegression(C=c, max_iter=MAX_ITERATIONS) for c in PENALTIES]
    of_all = [LogisticRegression(C=c, max_iter=MAX_ITERATIONS, tol=EARLY) for c in PENALTIES_OF_ALL]
    vectors = [SVC(C=c, gamma=width / scale) for c in COSTS for width in WIDTHS]
    return {
        COMMONEST: np.full(len(test), names[counts.argmax()]),
        LINEAR_OF_ALL: best_of(of_all, cells.X),
        LINEAR: best_of(logistic, inputs),
        BILINEAR: model.predict(cells.X[test]),
        BLACK_BOX: best_of(vectors, inputs),
    }


def accuracy_by_split(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and balanced accuracy (mean share of each class that is told right), indexed by method and split.

    table : as from `performance_of_classes`.
    """
    right = table["n_cells"].where(table["true_class"] == table["predicted_class"], 0)
    sums = table.assign(right=right).groupby(["method", "split", "true_class"], sort=False)[["right", "n_cells"]].sum()
    of_all = sums.groupby(["method", "split"], sort=False).sum()
    of_each = (sums["right"] / sums["n_cells"]).groupby(["method", "split"], sort=False).mean()
    return pd.DataFrame({"accuracy": of_all["right"] / of_all["n_cells"], "balanced_accuracy": of_each})


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over splits of accuracy and balanced accuracy, a row a method.

    table : as from `performance_of_classes`.
    """
    by_method = accuracy_by_split(table).groupby("method", sort=False)
    mean, deviation = by_method.mean(), by_method.std(ddof=0).add_suffix("_sd")
    return pd.concat([mean, deviation], axis=1)[
        ["accuracy", "accuracy_sd", "balanced_accuracy", "balanced_accuracy_sd"]
    ]


def confusion(table: pd.DataFrame, method: str = BILINEAR) -> pd.DataFrame:
    """Held-out cells of each class (rows) by what a method takes them for (columns), all splits together.

    table : as from `performance_of_classes`. Empty where there are no classes to tell apart.
    """
    own = table[table["method"] == method]
    counts = own.pivot_table(index="true_class", columns="predicted_class", values="n_cells", aggfunc="sum")
    names = sorted({*own["true_class"], *own["predicted_class"]})
    return counts.reindex(index=names, columns=names).fillna(0).astype(int)


def most_confused(counts: pd.DataFrame) -> tuple[str, str] | None:
    """The two classes of which the largest share is taken for the other one, by name; None where none is.

    counts : as from `confusion`.
    """
    sizes = counts.sum(axis=1)
    shares = {(a, b): (counts.loc[a, b] + counts.loc[b, a]) / (sizes[a] + sizes[b]) for a, b in combinations(counts, 2)}
    pair = max(shares, key=shares.__getitem__, default=None)
    return pair if pair and shares[pair] else None
