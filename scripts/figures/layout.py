"""Which cells are drawn, where, and where the names of their types stand."""

import anndata as ad
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.stats import binned_statistic_2d

from scripts.blocks import evenly
from scripts.cells import own_layouts
from scripts.figures.style import natural, safe

MAX_SPECTRAL = 5_000  # cells whose layout starts from eigenvectors of its own graph; of more, from frequencies
MAX_POINTS = 50_000  # cells that a figure draws one by one, of more a part: some 3 MB
BINS = 300  # along each side of a layout, of more cells than that
MAX_WRITTEN = 40  # labels written among the cells
PLOT = 340  # pixels of a side of the plot for which names are kept apart: between a phone's and a screen's
LETTER, LINE = 6.4, 15  # pixels: width of a letter and height of a line of a name
STEPS = 600  # in which names move apart
FAR = 14  # pixels that a name moves at least, for a line to lead from it to its cells


def sample_cells(adata: ad.AnnData, max_cells: int, random_state: int = 0) -> ad.AnnData:
    """All cells, or a random sample of max_cells of them in their order, without the expression."""
    rows = np.arange(adata.n_obs)
    if adata.n_obs > max_cells:
        rows = np.sort(np.random.default_rng(random_state).choice(rows, max_cells, replace=False))
    return ad.AnnData(obs=adata.obs.iloc[rows], obsm={"X_freq": adata.obsm["X_freq"][rows]})


def add_layout(adata: ad.AnnData, sample: ad.AnnData) -> None:
    """obsm["X_umap_freq"] of a sample for all cells, (n_cells, 2), in place; NaN for cells that are not in the sample.

    The same is obsm["X_umap"], where scanpy's `umap` looks, but where the file has one of its own.
    """
    layout = np.full((adata.n_obs, 2), np.nan)
    layout[adata.obs_names.get_indexer(sample.obs_names)] = sample.obsm["X_umap_freq"]
    adata.obsm["X_umap_freq"] = layout
    if "X_umap" not in own_layouts(adata) and adata.uns["graph"]["built on"] != "obsm['X_umap']":
        adata.obsm["X_umap"] = layout


def lay_out(adata: ad.AnnData, max_cells: int, n_neighbors: int = 15, random_state: int = 0) -> ad.AnnData:
    """Cells, or a sample of max_cells of them, with a UMAP of their frequencies in obsm["X_umap_freq"]."""
    import scanpy as sc

    drawn = sample_cells(adata, max_cells, random_state)
    # Fuzzy weights: Gaussian ones are not finite where cells are equal, and 0 between a far group and all others.
    search = {"method": "umap", "transformer": "sklearn"}  # exact
    sc.pp.neighbors(drawn, n_neighbors, use_rep="X_freq", key_added="freq_space", **search)
    options = {"neighbors_key": "freq_space", "key_added": "X_umap_freq", "random_state": random_state, "maxiter": 200}
    frequencies = drawn.obsm["X_freq"][:, :2]
    is_spectral = drawn.n_obs <= MAX_SPECTRAL or frequencies.shape[1] < 2
    sc.tl.umap(drawn, init_pos="spectral" if is_spectral else frequencies, **options)
    return drawn


def drawn_cells(n_cells: int) -> np.ndarray:
    """Rows of the cells that are drawn one by one: all, or MAX_POINTS of them, the same in all figures of n_cells."""
    return evenly(n_cells, MAX_POINTS)


def say_drawn(figure: go.Figure, n_cells: int) -> go.Figure:
    """The figure, in place, with a subtitle that says of how many cells some are drawn, where not all are."""
    n_drawn = len(drawn_cells(n_cells))
    if n_drawn < n_cells:
        figure.update_layout(title_subtitle_text=f"{n_drawn:,} of {n_cells:,} cells drawn")
    return figure


def mean_in_bins(xy: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    """Mean value of the cells in each of BINS x BINS bins of their layout.

    xy : (n_cells, 2); values : (n_cells,). Middles of the bins, "x" and "y", are (BINS,), the means, "z", (BINS along
    y, BINS along x): NaN where no cell is, and in single precision, as a page takes half the room for it.
    """
    means, *edges, _ = binned_statistic_2d(*xy.T, values, "mean", bins=BINS)
    x, y = ((edge[1:] + edge[:-1]) / 2 for edge in edges)
    return {"x": x, "y": y, "z": means.T.astype(np.float32)}


def names_among(xy: np.ndarray, names: pd.Series) -> list[dict]:
    """Annotations with the names of the commonest types, each at its median cell or, where another stands, beside it.

    xy : (n_cells, 2), NaN for cells without a place; names : (n_cells,) text, NaN for none.
    """
    placed = np.isfinite(xy).all(axis=1)
    xy, cells = xy[placed], names[placed].astype(object).map(str, na_action="ignore").to_numpy()
    written = sorted(pd.Series(cells).value_counts().index[:MAX_WRITTEN], key=natural)
    places = np.array([_median_cell(xy[cells == name]) for name in written]).reshape(-1, 2)
    moved = _moved_apart(places, written, np.ptp(xy, axis=0).max() or 1.0) if written else places
    notes = []
    for name, (x, y), (right, up) in zip(written, places, moved, strict=True):
        far = np.hypot(right, up) >= FAR
        line = {"showarrow": True, "ax": right, "ay": -up, "arrowhead": 0, "arrowwidth": 1, "standoff": 2}
        beside = line if far else {"showarrow": False, "xshift": right, "yshift": up}
        notes.append({"x": x, "y": y, "text": safe(name), "font": {"size": 11}, "borderpad": 0, **beside})
    return notes


def _median_cell(xy: np.ndarray) -> np.ndarray:
    """The cell nearest to the median of all, (2,): the median itself may lie where no cell is."""
    return xy[np.linalg.norm(xy - np.median(xy, axis=0), axis=1).argmin()]


def _moved_apart(places: np.ndarray, names: list[str], width: float) -> np.ndarray:
    """Pixels by which each name moves right and up, (n_names, 2), so that none stands on another.

    Two that overlap push each other the shorter way, and each is drawn back to its cells a little.

    places : (n_names, 2), in units of which the plot is `width` wide.
    """
    home = places * PLOT / width
    size = np.array([(LETTER * len(name), LINE) for name in names])
    apart = (size[:, None] + size[None]) / 2
    at = home + 1e-3 * np.arange(len(names))[:, None]  # names of one place have to go different ways
    for step in range(STEPS):
        way = at[:, None] - at[None]
        overlap = np.maximum(apart - np.abs(way), 0)
        overlap[~(overlap > 0).all(axis=2)] = 0
        np.einsum("iid->id", overlap)[:] = 0
        overlap[overlap > overlap.min(axis=2, keepdims=True)] = 0
        if step < STEPS // 2:
            at += 0.05 * (home - at)
        elif not overlap.any():
            break
        at += (np.sign(way) * overlap).sum(axis=1) / 2
    return np.round(at - home, 1)
