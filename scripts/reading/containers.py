"""Modules in the containers of scverse: beside the cells of an AnnData, and as a modality of a MuData."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd

from scripts import cells
from scripts.blocks import along
from scripts.errors import MissingError
from scripts.models import BilinearForm
from scripts.reading.modules import module_name
from scripts.reading.scoring import MAX_MODULES, N_MODULES

if TYPE_CHECKING:
    import mudata

ABOUT = "bmlp"  # key of uns: what the columns are
COLUMNS = {  # array with one column a module: what it holds
    "X_axes": "u . x of each module, turned so that + is the high end of its frequency",
    "X_modules": "what each module adds to the predicted frequency: eigenvalue * (u . x)^2",
    "modules": "loadings u of each module, unit vectors, turned as its axis",
}


def add_modules(adata: ad.AnnData, form: BilinearForm, n_modules: int = N_MODULES) -> None:
    """Axes, scores and loadings of the leading modules of all frequencies, in place.

    Parameters
    ----------
    adata : AnnData
        The cells that the model was fitted to, as from `cells.scaled`. It gets obsm["X_axes"] and obsm["X_modules"]
        (n_cells, n_freq * n_kept), varm["modules"] (n_genes, n_freq * n_kept), and in uns["bmlp"] what these are, and
        of each column its name (as "f0_m1"), frequency, module (from 1) and eigenvalue.
    form : BilinearForm
        Turned, see there.
    n_modules : int
        Of each frequency. All have equally many, n_kept: as many as the rank of the form, and `scoring.MAX_MODULES`,
        allow.
    """
    eigenvalues, loadings = form.modules(min(n_modules, MAX_MODULES))
    adata.varm["modules"] = np.hstack(list(loadings))
    axes = along(adata.X, adata.varm["modules"])
    adata.obsm["X_axes"], adata.obsm["X_modules"] = axes, eigenvalues.ravel() * axes**2
    frequency, module = (place.ravel() for place in np.indices(eigenvalues.shape))
    about = {
        "columns": np.array([module_name(f, m + 1) for f, m in zip(frequency.tolist(), module.tolist(), strict=True)]),
        "frequency": frequency,
        "module": module + 1,
        "eigenvalue": eigenvalues.ravel(),
    }
    adata.uns[ABOUT] = adata.uns.get(ABOUT, {}) | COLUMNS | about


def as_mudata(adata: ad.AnnData) -> mudata.MuData:
    """The cells of a run and their modules, as collections of gene programs are compared.

    The layout is that of the gene-program evaluation of the IGVF consortium (EngreitzLab/gene_network_evaluation).

    Parameters
    ----------
    adata : AnnData
        As in cells.h5ad once 04_interpret has been run, or as from `add_modules`.

    Returns
    -------
    MuData
        "rna": the cells as they are stored, (n_cells, n_genes). "prog": a program for each module, X (n_cells,
        n_programs) its axis, layers["scores"] its score, varm["loadings"] (n_programs, n_genes), uns["var_names"] the
        names of these genes; var says of which frequency it is the how manieth module, and its eigenvalue.

    Raises
    ------
    MissingError
        If the cells have no modules.
    """
    import mudata  # takes seconds

    if "X_axes" not in adata.obsm:
        raise MissingError("the cells have no modules (obsm['X_axes']): run 04_interpret.ipynb first")
    about = adata.uns[ABOUT]
    programs = ad.AnnData(
        adata.obsm["X_axes"],
        pd.DataFrame(index=adata.obs_names),
        pd.DataFrame({name: about[name] for name in ("frequency", "module", "eigenvalue")}, about["columns"]),
        uns={"var_names": adata.var_names.to_numpy(str)},
        varm={"loadings": adata.varm["modules"].T},
        layers={"scores": adata.obsm["X_modules"]},
    )
    with mudata.set_options(pull_on_update=False):  # as its next version: no copy of each column in obs
        return mudata.MuData({"rna": cells.stored(adata), "prog": programs})
