"""Which genes and modules tell classes apart: the form of the logits, along directions of the outputs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scripts.bmlp import ScBMLPClassifier
from scripts.models import BilinearForm
from scripts.reading import main_effect_table, module_table

COLUMNS = ["direction", "source", "eigenvalue", "pole", "rank", "gene", "weight"]


def class_directions(names: Sequence[str], pair: tuple[str, str] | None = None) -> dict[str, np.ndarray]:
    """Directions of the outputs by name: each class against the mean of all, and one class of a pair less the other.

    Only such contrasts are determined, as adding the same to all logits changes no probability. names : of the
    classes. Returns weights of the outputs, (n_classes,) each, whose sum is 0.
    """
    one = np.eye(len(names))
    directions = dict(zip(map(str, names), one - one.mean(axis=0), strict=True))
    if pair:
        first, second = (list(names).index(name) for name in pair)
        directions[" - ".join(pair)] = one[first] - one[second]
    return directions


def class_modules(
    model: ScBMLPClassifier | None,
    genes: list[str],
    pair: tuple[str, str] | None = None,
    n_modules: int = 3,
    n_genes: int = 50,
) -> pd.DataFrame:
    """What speaks for each class: genes of the poles of its modules, and of the largest effects of their own.

    Parameters
    ----------
    model : ScBMLPClassifier, or None
    genes : list of str
    pair : two names of classes, optional
        Whose difference is read as well.
    n_modules, n_genes : int
        Modules of each direction, and genes of each pole.

    Returns
    -------
    DataFrame
        direction (a class, or the two of the pair), source ("main effects", "module 1", ...), eigenvalue (NaN of main
        effects), pole, rank (from 1), gene, weight (effect, or loading); empty where there is no model.
    """
    if model is None:
        return pd.DataFrame(columns=COLUMNS)
    directions = class_directions(model.classes, pair)
    form = model.form(genes).combined(np.stack(list(directions.values())))
    tables = _of_effects(form, n_genes), _of_modules(form, n_modules, n_genes)
    table = pd.concat(tables, ignore_index=True).sort_values("frequency", kind="stable")
    return table.assign(direction=table["frequency"].map(dict(enumerate(directions))))[COLUMNS].reset_index(drop=True)


def _of_effects(form: BilinearForm, n_genes: int) -> pd.DataFrame:
    table = main_effect_table(form, n_genes).rename(columns={"effect": "weight"})
    return table.assign(source="main effects", eigenvalue=np.nan)


def _of_modules(form: BilinearForm, n_modules: int, n_genes: int) -> pd.DataFrame:
    table = module_table(form, form.modules(n_modules)[1], n_genes).rename(columns={"loading": "weight"})
    return table.assign(source="module " + table["module"].astype(str))


def gene_lists(modules: pd.DataFrame, n_genes: int) -> pd.DataFrame:
    """The first genes of each pole in one line, a row for each direction and source; modules : from `class_modules`."""
    shown = modules[modules["rank"] <= n_genes]
    keys = ["direction", "source", "eigenvalue", "pole"]
    if shown.empty:
        return shown[keys]
    genes = shown.groupby(keys, sort=False, dropna=False)["gene"].agg(", ".join)
    return genes.unstack("pole", sort=False).reset_index("eigenvalue").rename_axis(columns=None)
