"""Which cells are sound: scanpy's quality metrics of each, the limits of the settings, and who is left out."""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse
from scipy.stats import median_abs_deviation

from scripts.blocks import Lazy, Matrix, blocks, cells_with, dense, least, loaded
from scripts.cells.reading import set_aside, some_cells
from scripts.errors import InputError, one_line

MIN_CELLS, MIN_GENES = 3, 2  # below which there is no graph
MIN_SHOWN = 0.01  # share of the cells below which a gene is rare
N_MEASURED = 10_000  # cells that are measured at a time
MAX_SCORED = 10_000  # cells up to which doublet scores are computed: the search takes quadratic time
USUAL_MADS = 5.0  # limits that are shown where the setting n_mads is off
SHOWN = 3  # names in a sentence
KINDS = {  # kind of genes: expression that their names match in lower case, in human and mouse
    "mt": "mt-",
    "ribo": "rp[sl]",
    "hb": r"hb[abdegmqz](\d|-|$)",  # neither HBEGF nor HBP1 nor HBS1L
}
MEASURES = {  # column of obs, as scanpy calls it: in words
    "total_counts": "total counts",
    "n_genes_by_counts": "detected genes",
    "pct_counts_mt": "mitochondrial share (%)",
    "pct_counts_ribo": "ribosomal share (%)",
    "pct_counts_hb": "haemoglobin share (%)",
    "doublet_score": "doublet score",
}
LIMITS = {  # setting: the measure it limits, and on which side of it cells are left out
    "min_counts": ("total_counts", "below"),
    "max_counts": ("total_counts", "above"),
    "min_genes": ("n_genes_by_counts", "below"),
    "max_genes": ("n_genes_by_counts", "above"),
    "max_pct_mt": ("pct_counts_mt", "above"),
    "max_doublet_score": ("doublet_score", "above"),
}


@dataclass(frozen=True)
class Filters:
    """Settings of which cells are left out. A limit of 0 is none."""

    drop_empty: bool = True  # leave out cells without counts
    drop_identical: bool = True  # leave out cells that are the same as another, all but the first
    min_counts: int = 0  # leave out cells of fewer total counts; 0: none
    max_counts: int = 0  # leave out cells of more total counts; 0: none
    min_genes: int = 0  # leave out cells of fewer detected genes; 0: none
    max_genes: int = 0  # leave out cells of more detected genes; 0: none
    max_pct_mt: float = 0.0  # leave out cells of a larger mitochondrial share, in per cent; 0: none
    max_doublet_score: float = 0.0  # leave out cells of a higher doublet score; 0: none
    min_cells: int = 0  # leave out genes that fewer cells show; 0: none
    n_mads: float = 0.0  # leave out cells so many median absolute deviations off, 5 is usual; 0: none


def sound_cells(adata: ad.AnnData, filters: Filters, has_counts: bool) -> ad.AnnData:
    """Without empty and repeated cells and those beyond the limits; the others with their measures in obs.

    Parameters
    ----------
    adata : AnnData
        X (n_cells, n_genes) before normalisation; uns["dataset"] with its "name", "said" and "left_out".
    filters : Filters
    has_counts : bool
        Whether X holds counts: the other measures than detected genes need them.

    Returns
    -------
    AnnData
        uns["quality"], a table of all cells that are neither empty nor repeated, those beyond the limits included.

    Raises
    ------
    InputError
        If a limit is set on what cannot be measured, or hardly any cell is left.
    """
    adata = leave_out(adata, _without_own_counts(adata, filters))
    quality = measure(adata, has_counts)
    _check(filters, quality, adata.uns["dataset"]["name"])
    _into_obs(adata, quality)
    adata.uns["quality"] = quality
    found = limits(quality, filters)
    adata = leave_out(
        adata,
        {
            f"with {MEASURES[row.measure]} {row.side} {_short(row.limit)} ({row.setting})": _beyond(quality, row)
            for row in found[found["left_out"]].itertuples()
        },
    )
    return _shown_genes(adata, filters.min_cells)


def _shown_genes(adata: ad.AnnData, min_cells: int) -> ad.AnnData:
    """Without genes that fewer cells show than the limit; said where most genes are hardly shown, but without limit."""
    n_cells, n_genes, name = cells_with(adata.X), adata.n_vars, adata.uns["dataset"]["name"]
    if min_cells == 0:
        few = MIN_SHOWN * adata.n_obs
        if (rare := (n_cells < few).sum()) > n_genes / 2:
            told = f"{rare:,} of {n_genes:,} genes are shown by fewer than {MIN_SHOWN:.0%} of the cells"
            remedy = f"min_cells: {int(np.ceil(few))} leaves them out"
            _tell(adata, "said", f"{told}: scaled like others, they are noise to the models; {remedy}.")
        return adata
    kept = n_cells >= min_cells
    if kept.sum() < MIN_GENES:
        name = adata.uns["dataset"]["name"]
        raise InputError(
            f"{name}: only {kept.sum()} of {n_genes} genes are shown by {min_cells} cells: set min_cells: 0"
        )
    if not kept.all():
        adata = adata[:, kept].copy()
        _tell(
            adata,
            "left_out",
            f"{(~kept).sum():,} of {n_genes:,} genes left out: shown by fewer than {min_cells} cells.",
        )
    return adata


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def leave_out(adata: ad.AnnData, reasons: Mapping[str, np.ndarray]) -> ad.AnnData:
    """Without the cells that any reason names; the sentence on it is added to uns["dataset"]["left_out"].

    Parameters
    ----------
    adata : AnnData
    reasons : {reason: (n_cells,) bool}
        Which cells each leaves out; a cell may have several. The reason goes on "8 of 400 cells left out: 8 ...".

    Raises
    ------
    InputError
        If fewer cells are left than make a graph.
    """
    counts = {reason: int(named.sum()) for reason, named in reasons.items() if named.any()}
    if not counts:
        return adata
    keep = ~np.logical_or.reduce(list(reasons.values()))
    why = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
    if keep.sum() < MIN_CELLS:
        raise InputError(
            f"{adata.uns['dataset']['name']}: only {keep.sum()} of {len(keep)} cells would be left ({why}): "
            "set wider limits, or name another file"
        )
    left_out = len(keep) - keep.sum()
    share = f"{left_out / len(keep):.{0 if left_out >= len(keep) / 100 else 2}%}"
    several = ", some for several reasons" if sum(counts.values()) > left_out else ""
    sentence = f"{left_out:,} of {len(keep):,} cells ({share}) left out: {why}{several}."
    adata = some_cells(adata, keep)
    _tell(adata, "left_out", sentence)
    return adata


def _tell(adata: ad.AnnData, where: str, sentence: str) -> None:
    adata.uns["dataset"][where] = np.append(adata.uns["dataset"][where], sentence)


def _without_own_counts(adata: ad.AnnData, filters: Filters) -> dict[str, np.ndarray]:
    """Cells without counts, and all but the first of those that are the same, as the settings ask for it."""
    digests = _digests(adata.X)
    empty = np.array([not digest for digest in digests])
    again = pd.Series(digests).duplicated().to_numpy() & ~empty
    found = {}
    if filters.drop_empty:
        found[f"without counts ({_first(adata.obs_names[empty])})"] = empty
    if filters.drop_identical:
        found[f"the same as another cell ({_first(adata.obs_names[again])})"] = again
    return found


def _first(names: pd.Index) -> str:
    return ", ".join(map(one_line, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")


def _digests(X: Matrix | Lazy) -> list[bytes]:
    """Of the values of each cell, so that the same cells have the same; b"" for cells without counts."""
    digests = []
    for _, block in blocks(X, 1000):
        rows = dense(block)
        found = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() if row.any() else b"" for row in rows]
        digests.extend(found)
    return digests


def measure(adata: ad.AnnData, has_counts: bool) -> pd.DataFrame:
    """Quality metrics, (n_cells, n_measures), by the names of `MEASURES`; what cannot be measured has no column.

    Parameters
    ----------
    adata : AnnData
        X (n_cells, n_genes) before normalisation.
    has_counts : bool
        Whether X holds counts. Where it does not, genes are detected where it is above 0, unless it is ever below.

    Notes
    -----
    Shares are those of genes named as mitochondrial (MT-), ribosomal (RPS, RPL) and haemoglobin genes are in human and
    mouse. The doublet score is Scrublet's (Wolock et al., Cell Systems 8, 281, 2019) by scanpy: how much like simulated
    doublets a cell is.
    """
    names = pd.Series(adata.var_names.str.lower(), adata.var_names)
    named = pd.DataFrame({kind: names.str.match(pattern) for kind, pattern in KINDS.items()})
    named = named.loc[:, named.any()]
    cells = ad.AnnData(adata.X, pd.DataFrame(index=adata.obs_names), named)
    if not has_counts and (least(cells.X) < 0):
        return cells.obs
    options = {"qc_vars": list(named), "percent_top": None, "log1p": False}
    some = (  # scanpy copies values, as doubles
        ad.AnnData(block, cells.obs.iloc[rows], named).copy() for rows, block in blocks(cells.X, N_MEASURED)
    )
    found = pd.concat([sc.pp.calculate_qc_metrics(block, **options)[0] for block in some])
    if not has_counts:
        return found[["n_genes_by_counts"]]
    scores, why = _doublet_scores(cells)
    if not why:
        found["doublet_score"] = scores
    found.attrs["unscored"] = why
    return found[[name for name in MEASURES if name in found]]


def _doublet_scores(cells: ad.AnnData) -> tuple[pd.Series, str]:
    """Scrublet's, of cells with counts, or why there are none."""
    if cells.n_obs > MAX_SCORED:
        return pd.Series(dtype=float), f"there are more than {MAX_SCORED:,} cells"
    counts = ad.AnnData(sparse.csr_matrix(loaded(cells.X)[0]), cells.obs)
    counts = counts[np.asarray(counts.X.sum(axis=1)).ravel() > 0].copy()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # the search is exact, as scanpy's approximate one fails; no doublets are called, which needs a package
            sc.pp.scrublet(counts, threshold=1.0, use_approx_neighbors=False, verbose=False)
    except (ValueError, ArithmeticError, LookupError, np.linalg.LinAlgError) as error:
        # of few cells or genes it cannot make doublets, choose genes or components: no reason to stop a run
        return pd.Series(dtype=float), f"Scrublet stopped ({one_line(error)}), as it does for few cells or genes"
    return counts.obs["doublet_score"].reindex(cells.obs_names), ""


def _into_obs(adata: ad.AnnData, quality: pd.DataFrame) -> None:
    """The measures as columns of obs; what the file has there under their names, and is not the same, is kept aside."""
    others = [name for name in quality if name in adata.obs and not _same(adata.obs[name], quality[name])]
    if aside := set_aside(adata, "obs", others):
        _tell(
            adata,
            "said",
            f"What the file's obs holds as {', '.join(others)} differs from what its counts give, and is kept as "
            f"{', '.join(aside.values())}.",
        )
    adata.obs[quality.columns] = quality


def _same(column: pd.Series, measured: pd.Series) -> bool:
    values = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(float)
    return np.allclose(values, measured.to_numpy(float), rtol=1e-4, equal_nan=True)


def why_unmeasured(measure: str, quality: pd.DataFrame) -> str:
    """Why a measure has no column, as a part of a sentence; empty where it has one."""
    if measure in quality:
        return ""
    if not len(quality.columns):
        return "there are negative values, which no counts are"
    if "total_counts" not in quality:
        return "the values are no counts"
    if measure == "doublet_score":
        return quality.attrs.get("unscored") or "Scrublet gave no scores"
    kind = {"mt": "MT- or mt-", "ribo": "RPS, RPL, Rps or Rpl", "hb": "HBA, HBB, Hba, Hbb and so on"}
    return f"no gene's name begins with {kind[measure.removeprefix('pct_counts_')]}"


def _check(filters: Filters, quality: pd.DataFrame, name: str) -> None:
    """InputError for a limit on what could not be measured."""
    needed = {setting: on for setting, (on, _) in LIMITS.items() if getattr(filters, setting)}
    needed |= {"n_mads": "total_counts"} if filters.n_mads else {}
    for setting, on in needed.items():
        if why := why_unmeasured(on, quality):
            remedy = "" if "total_counts" in quality else ", or name the layer that holds counts (layer: counts)"
            raise InputError(
                f"{name}: {setting} needs {MEASURES[on]}, which cannot be measured, as {why}: set {setting}: 0{remedy}"
            )


def limits(quality: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    """Every limit on a measure, and how many cells lie beyond it.

    Parameters
    ----------
    quality : DataFrame
        As from `measure`.
    filters : Filters

    Returns
    -------
    DataFrame
        setting, measure, side ("below" or "above"), limit, cells (beyond it) and left_out: whether they are. Where
        n_mads is off, the limits that the usual `USUAL_MADS` would set are told with left_out False.
    """
    set_ones = [(name, *LIMITS[name], float(getattr(filters, name))) for name in LIMITS if getattr(filters, name)]
    n_mads = filters.n_mads or USUAL_MADS
    rows = [*set_ones, *((f"n_mads {n_mads:g}", *row) for row in _mads(quality, n_mads))]
    table = pd.DataFrame(rows, columns=["setting", "measure", "side", "limit"])
    table["cells"] = [int(_beyond(quality, row).sum()) for row in table.itertuples()]
    table["left_out"] = [bool(filters.n_mads) or name in LIMITS for name in table["setting"]]
    return table


def _beyond(quality: pd.DataFrame, row) -> np.ndarray:
    """Cells beyond one row of `limits`, (n_cells,) bool."""
    values = quality[row.measure].to_numpy()
    return values < row.limit if row.side == "below" else values > row.limit


def _mads(quality: pd.DataFrame, n_mads: float) -> list[tuple[str, str, float]]:
    """Measure, side and limit of n median absolute deviations from the median.

    Of log(1 + x) of total counts and detected genes, on both sides, and above for the mitochondrial share, as scanpy's
    tutorials have it. Where more than half of the cells have the same value there is no deviation, and no limit.
    """
    rows = []
    for name, log, sides in [
        ("total_counts", True, ("below", "above")),
        ("n_genes_by_counts", True, ("below", "above")),
        ("pct_counts_mt", False, ("above",)),
    ]:
        if name not in quality:
            continue
        values = np.log1p(quality[name].to_numpy(float)) if log else quality[name].to_numpy(float)
        deviation = n_mads * median_abs_deviation(values, nan_policy="omit")
        for side in sides if deviation > 0 else ():
            limit = np.nanmedian(values) + (deviation if side == "above" else -deviation)
            if limit > 0:
                rows.append((name, side, float(np.expm1(limit) if log else limit)))
    return rows
