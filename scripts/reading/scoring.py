"""Cells never seen: frequencies, axes and scores by the file of the model alone, without a graph of these cells."""

import json
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from scipy import sparse
from sklearn.utils import gen_batches

from scripts import cells
from scripts.blocks import BLOCK, Matrix, dense, gene_means
from scripts.errors import InputError
from scripts.models import BilinearForm

N_MODULES = 5  # of each frequency that are named, where nothing else is asked for
MAX_MODULES = 20  # of each frequency that can be asked for
SLACK = 1e-3  # of the width of a range, by which rounding may leave it
SHOWN = 3  # names in a sentence
ARRAYS = ("mean", "deviation", "normalized_mean", "span")
FACTS = ("steps", "centred", "of_counts", "n_cells")


@dataclass(frozen=True)
class Scorer:
    """A fitted form, and what is needed to prepare other cells as those of its run were and to compare them with these.

    Attributes
    ----------
    form : BilinearForm
    mean, deviation : (n_genes,) float64
        Of each gene over the cells of the run, before scaling. The deviation is 0 for a gene that is the same in all of
        them, from which nothing was learnt, and 1 for every gene where genes were not scaled.
    normalized_mean : (n_genes,) float64
        Of each gene after `normalize_total`: the sum is the target sum. 0 where this step was not done.
    span : (2, n_freq, 1 + n_modules) float64
        Lowest and highest values in the cells of the run: of each predicted frequency, then of its axes.
    steps : list of str
        Of normalisation: normalize_total, log1p, scale.
    centred : bool
        Whether genes have mean 0: those of sparse expression have not, and those that were not scaled.
    of_counts : bool
        Whether the run began with counts.
    n_cells : int
        Of the run.
    """

    form: BilinearForm
    mean: np.ndarray
    deviation: np.ndarray
    normalized_mean: np.ndarray
    span: np.ndarray
    steps: list[str]
    centred: bool
    of_counts: bool
    n_cells: int

    @classmethod
    def of(cls, form: BilinearForm, adata: ad.AnnData) -> "Scorer":
        """Of a form and the cells that it was fitted to, as from `datasets.prepare`."""
        steps = [str(step) for step in adata.uns["dataset"]["steps"]]
        if "normalize_total" in steps and "normalized_mean" not in adata.var:
            raise InputError("the cells are of an earlier version, without normalized_mean: run 01_data.ipynb again")
        if is_scaled := "scale" in steps:
            mean, deviation = adata.var["mean"].to_numpy(float), adata.var["std"].to_numpy(float)
        else:
            mean, deviation = gene_means(adata.X), np.ones(adata.n_vars)
        normalized = adata.var["normalized_mean"].to_numpy(float) if "normalize_total" in steps else np.zeros_like(mean)
        span = _span(form, adata.X)
        centred = is_scaled and not sparse.issparse(adata.X)
        return cls(form, mean, deviation, normalized, span, steps, centred, "counts" in adata.layers, adata.n_obs)

    def save(self, path: Path) -> None:
        """Write the file of the form, with all else in it."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        self.form.save(path, arrays, {"preparation": json.dumps({name: getattr(self, name) for name in FACTS})})

    @classmethod
    def load(cls, path: Path) -> "Scorer":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is damaged, or does not hold how the cells of its run were prepared.
        """
        form = BilinearForm.load(path)
        try:
            with safe_open(path, framework="np") as file:
                arrays = {name: file.get_tensor(name) for name in ARRAYS}
                facts = json.loads(file.metadata()["preparation"])
            shapes = [array.shape for array in arrays.values()]
            n_genes, n_modules = len(form.genes), min(MAX_MODULES, form.without_products().basis.shape[1])
            if shapes != [(n_genes,)] * 3 + [(2, form.n_freq, 1 + n_modules)]:
                raise ValueError
            if not all(np.isfinite(array).all() for array in arrays.values()):
                raise ValueError
            return cls(form, **arrays, **{name: facts[name] for name in FACTS})
        except (SafetensorError, KeyError, ValueError, TypeError, IndexError):
            raise InputError(
                f"{path} does not hold how the cells of its run were prepared: run 03_train.ipynb again"
            ) from None

    def modules(self, n_modules: int) -> tuple[np.ndarray, np.ndarray]:
        """As `BilinearForm.modules`, of the form without products that are terms of their own; at most MAX_MODULES."""
        return self.form.without_products().modules(min(n_modules, MAX_MODULES))

    def prepared(self, values: np.ndarray, known: np.ndarray, steps: list[str]) -> np.ndarray:
        """Expression as the model sees it.

        Each cell's total is brought to what the cells of the run have on average in the same genes. A gene that is not
        known takes its mean. Scaled values are no further from 0 than those of one of the run's n cells could be, the
        root of n - 1 (Samuelson, JASA 63, 1522, 1968): in genes that these hardly show, others can be by any factor.

        Parameters
        ----------
        values : (n_cells, n_known)
        known : (n_genes,) bool
            Genes of the model that the values are of, in its order.
        steps : list of str
            Of the model's that are still to be done.

        Returns
        -------
        (n_cells, n_genes) float32; NaN for cells without counts.
        """
        values = values.astype(np.float32)
        if "normalize_total" in steps:
            total = values.sum(axis=1, dtype=np.float64, keepdims=True)
            values *= self.normalized_mean[known].sum() / np.where(total > 0, total, np.nan)
        if "log1p" in steps:
            np.log1p(values, out=values)
        if "scale" in steps or "scale" not in self.steps:
            values -= self.mean[known]
            values /= self.deviation[known]
        X = np.zeros((len(values), len(known)), dtype=np.float32)
        X[:, known] = values
        if not self.centred:
            X += np.divide(self.mean, self.deviation, out=np.zeros_like(self.mean), where=self.deviation > 0)
        if "scale" in self.steps:
            limit = np.sqrt(self.n_cells - 1)
            np.clip(X, -limit, limit, out=X)
        return X


def _span(form: BilinearForm, X: Matrix) -> np.ndarray:
    """What `Scorer` keeps under this name, of cells X (n_cells, n_genes)."""
    _, loadings = form.without_products().modules(MAX_MODULES)
    low, high = np.inf, -np.inf
    for rows in gen_batches(X.shape[0], BLOCK):
        values = _values(form, loadings, dense(X[rows]))
        low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
    return np.stack([low, high])


def _values(form: BilinearForm, loadings: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Predicted frequencies, and behind each its axes, (n_cells, n_freq, 1 + n_modules).

    loadings : (n_freq, n_genes, n_modules); X : (n_cells, n_genes).
    """
    return np.concatenate([form.predict(X)[:, :, None], np.tensordot(X, loadings, (1, 1))], axis=2)


def score(
    adata: ad.AnnData, model: Scorer, n_modules: int = N_MODULES, layer: str = "", name: str = "the cells"
) -> pd.DataFrame:
    """Frequencies, axes and scores of any cells by a model of others.

    Parameters
    ----------
    adata : AnnData
        Cells as they come; where the counts are, and what symbols the genes have, is found as for a run. Genes are
        matched by name; those that the model does not know are left out.
    model : Scorer
    n_modules : int
        Leading modules of each frequency, at most `MAX_MODULES`.
    layer : str
        That holds the counts, "raw" for raw.X; empty: where they are found.
    name : str
        Of the cells, for messages.

    Returns
    -------
    DataFrame
        One row a cell. freq_0, ...: predicted frequencies. f0_m1_axis, f0_m1_score, ...: u . x of each module, turned
        so that + is the high end of its frequency, and what the module adds to it, eigenvalue * (u . x)^2.
        out_of_range: whether a frequency or an axis lies beyond those of all cells of the run. attrs["said"]: sentences
        on what was found and done.

    Raises
    ------
    InputError
        If no gene is one of the model's, or the values are not of the kind that the model was fitted to.
    """
    adata = cells.needed(adata, name)
    if not model.of_counts and not layer:  # counts are not what the model was fitted to, wherever they are
        adata = ad.AnnData(adata.X, adata.obs, adata.var)
    adata, place, said = cells.named_counts(adata, layer, name)
    columns = adata.var_names.get_indexer(pd.Index(model.form.genes))
    known = (columns >= 0) & (model.deviation > 0)
    if not adata.n_obs or not known.any():
        raise InputError(
            f"{name}: {adata.n_obs} cells with {known.sum()} of the {len(known)} genes that the model was fitted to: "
            "nothing can be scored; name cells of the same species, with gene symbols as names"
        )
    steps, base, told = _steps_for(model, adata.X, name, place)
    eigenvalues, loadings = model.modules(n_modules)
    values = []
    for rows in gen_batches(adata.n_obs, BLOCK):
        block = dense(adata.X[rows])[:, columns[known]]
        X = model.prepared(block if base is None else base**block - 1, known, steps)
        values.append(_values(model.form, loadings, X))
    scores, ranged = _table(np.concatenate(values), eigenvalues, model, adata.obs_names)
    scores.attrs["said"] = [*said, *told, *_about_genes(columns < 0, model), *ranged]
    return scores


def as_cells(scores: pd.DataFrame, obs: pd.DataFrame) -> ad.AnnData:
    """Scores as X of an AnnData (n_cells, n_columns), to be drawn beside what obs holds of the same cells."""
    var = pd.DataFrame(index=scores.columns.astype(str))
    said = np.array(scores.attrs["said"], dtype=str)
    return ad.AnnData(scores.to_numpy(np.float64), obs, var, uns={"said": said})


def _steps_for(model: Scorer, X: Matrix, name: str, place: str) -> tuple[list[str], float | None, list[str]]:
    """Steps of the model that values still need, the base of logarithms that are to be undone before, and sentences."""
    is_normalised = {"normalize_total", "log1p"} & set(model.steps)
    if cells.are_counts(X) and not model.of_counts:
        raise InputError(
            f"{name}: {place} holds counts, but the run had none: write cells with values of its kind as X"
        )
    if cells.are_counts(X) or not is_normalised:
        return model.steps, None, []
    if X.min() < 0:
        if "scale" not in model.steps:
            raise InputError(
                f"{name}: {place} holds negative values, the run had counts: name the layer that holds counts"
            )
        said = "taken as scaled already, by means of these cells: what sets them all apart from the run's is lost"
        return [], None, [f"{place} holds negative values: {said}."]
    if base := cells.log_base(X):
        return model.steps, base, [f"{place} holds normalised logarithms: undone, and normalised as the run's counts."]
    return model.steps, None, [f"{place} holds fractional values: normalised as counts are."]


def _about_genes(is_missing: np.ndarray, model: Scorer) -> list[str]:
    """Sentences on genes of the model that the cells do not have; is_missing : (n_genes,) bool."""
    names = np.array(model.form.genes, dtype=object)[is_missing]
    if not len(names):
        return []
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    value = "0, as genes are scaled" if model.centred else "as it is in the cells of the run"
    said = [
        f"{len(names):,} of the model's {len(is_missing):,} genes are missing ({shown}) and take their mean: {value}."
    ]
    if len(names) > len(is_missing) / 2:
        said.append("These are more than half of its genes: take the scores for a hint at most.")
    return said


def _table(
    values: np.ndarray, eigenvalues: np.ndarray, model: Scorer, names: pd.Index
) -> tuple[pd.DataFrame, list[str]]:
    """The table of `score`, and sentences on cells that cannot be scored, or lie beyond those of the run.

    values : as from `_values`; eigenvalues : (n_freq, n_modules).
    """
    n_cells, n_freq, n_columns = values.shape
    columns = {f"freq_{f}": values[:, f, 0] for f in range(n_freq)}
    for f in range(n_freq):
        for m, eigenvalue in enumerate(eigenvalues[f], start=1):
            columns[f"f{f}_m{m}_axis"] = values[:, f, m]
            columns[f"f{f}_m{m}_score"] = eigenvalue * values[:, f, m] ** 2
    low, high = model.span[:, :, :n_columns]
    slack = SLACK * (high - low)
    beyond = ((values < low - slack) | (values > high + slack)).any(axis=(1, 2))
    chance = min(1, 2 * n_freq * n_columns / (model.n_cells + 1))  # each end of each range, by the order of n + 1 cells
    said = [
        f"{beyond.sum():,} of {n_cells:,} cells ({beyond.mean():.1%}) have a frequency or an axis beyond those of all "
        f"{model.n_cells:,} cells of the run; of cells of the same kind it would be {chance:.1%} at most, on average."
    ]
    if uncounted := np.isnan(values[:, 0, 0]).sum():
        said.append(f"{uncounted:,} cells have no counts in genes of the model, and no scores.")
    return pd.DataFrame(columns | {"out_of_range": beyond}, index=names), said
