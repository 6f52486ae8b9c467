"""One cell's prediction as an exact sum: constant, main effects of genes, and scores of modules."""

import numpy as np
import pandas as pd
from scipy import sparse

from scripts.modules import BilinearForm, module_scores


def explain_cell(
    form: BilinearForm, x: np.ndarray | sparse.spmatrix, n_modules: int = 5, n_genes: int = 5
) -> pd.DataFrame:
    """What each part of the model adds to the prediction of one cell.

    Parameters
    ----------
    form : BilinearForm
    x : (n_genes,) array, or one row of a matrix, dense or sparse
        Expression of the cell, as the model was fitted to it.
    n_modules : int
        Leading modules to name; all others are one row.
    n_genes : int
        Genes to name, those of the largest main effects in this cell; all others are one row.

    Returns
    -------
    DataFrame
        frequency, kind ("constant", "main effects" or "modules"), part, contribution. The contributions to a frequency
        add up to form.predict exactly, up to rounding.
    """
    x = np.ravel(x.toarray() if sparse.issparse(x) else np.asarray(x)).astype(np.float64)
    if len(x) != len(form.genes):
        raise ValueError(f"the cell has {len(x)} values, the model {len(form.genes)} genes: pass one row of its matrix")
    values, loadings = form.modules(form.basis.shape[1])
    rows = []
    for f in range(form.n_freq):
        effects = form.main[f] * x
        scores = module_scores(x[None], values[f], loadings[f])[0]
        named = np.argsort(-np.abs(effects), kind="stable")[:n_genes]
        rows.append((f, "constant", "constant", form.constant[f]))
        rows += [(f, "main effects", form.genes[i], effects[i]) for i in named]
        rows.append((f, "main effects", "other genes", np.delete(effects, named).sum()))
        rows += [(f, "modules", f"module {m}", score) for m, score in enumerate(scores[:n_modules], start=1)]
        rows.append((f, "modules", "other modules", scores[n_modules:].sum()))
    return pd.DataFrame(rows, columns=["frequency", "kind", "part", "contribution"])


def cell_sentence(table: pd.DataFrame, cell: str) -> list[str]:
    """How main effects and modules share in one cell's predictions; table as from `explain_cell`."""
    sums = table.pivot_table(index="frequency", columns="kind", values="contribution", aggfunc="sum")
    return [
        f"Cell {cell}, frequency {frequency}: predicted {row.sum():.4g} = constant {row['constant']:.4g} + "
        f"main effects {row['main effects']:.4g} + modules {row['modules']:.4g}."
        for frequency, row in sums.iterrows()
    ]
