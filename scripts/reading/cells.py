"""The fitted bilinear form, and what can be read from it exactly: modules, poles and scores.

Nothing here builds a genes x genes matrix: all is computed in an orthonormal gene basis of few columns.
"""

import numpy as np
import pandas as pd

from scripts.blocks import Matrix, dense
from scripts.errors import InputError
from scripts.measures import strongest
from scripts.models import BilinearForm


def module_scores(X: np.ndarray, values: np.ndarray, loadings: np.ndarray) -> np.ndarray:
    """What each module adds to the prediction of each cell: eigenvalue * (u . x)^2.

    X : (n_cells, n_genes); values : (n_modules,); loadings : (n_genes, n_modules). Returns (n_cells, n_modules).
    """
    return values * (X @ loadings) ** 2


def explain_cell(form: BilinearForm, x: Matrix, n_modules: int = 5, n_genes: int = 5) -> pd.DataFrame:
    """What each part of the model adds to the prediction of one cell.

    Parameters
    ----------
    form : BilinearForm
    x : (n_genes,) array, or one row of a matrix, dense or sparse
        Expression of the cell, as the model was fitted to it.
    n_modules : int
        Leading modules to name; all others are one row. Where the form has products of its own, modules are those of
        the form without them.
    n_genes : int
        Genes to name, those of the largest main effects in this cell, and products likewise; all others are one row.

    Returns
    -------
    DataFrame
        frequency, kind ("constant", "main effects", "modules" or "products"), part, contribution. The contributions to
        a frequency add up to form.predict exactly, up to rounding.
    """
    x = np.ravel(dense(x)).astype(np.float64)
    if len(x) != len(form.genes):
        raise InputError(f"the cell has {len(x)} values, the model {len(form.genes)} genes: pass one row of its matrix")
    rest = form.without_products()
    values, loadings = rest.modules(rest.basis.shape[1])
    products = form.pair_weights * x[form.pairs].prod(axis=1)
    names = [" x ".join(form.genes[i] for i in pair) for pair in form.pairs]
    rows = []
    for f in range(form.n_freq):
        effects = form.main[f] * x
        scores = module_scores(x[None], values[f], loadings[f])[0]
        named = strongest(effects, n_genes)
        rows.append((f, "constant", "constant", form.constant[f]))
        rows += [(f, "main effects", form.genes[i], effects[i]) for i in named]
        rows.append((f, "main effects", "other genes", np.delete(effects, named).sum()))
        rows += [(f, "modules", f"module {m}", score) for m, score in enumerate(scores[:n_modules], start=1)]
        rows.append((f, "modules", "other modules", scores[n_modules:].sum()))
        held = np.flatnonzero(form.pair_weights[f])
        named = held[strongest(products[f, held], n_genes)]
        rows += [(f, "products", names[k], products[f, k]) for k in named]
        if len(held) > len(named):
            rows.append((f, "products", "other products", products[f].sum() - products[f, named].sum()))
    return pd.DataFrame(rows, columns=["frequency", "kind", "part", "contribution"])
