"""Small files as people have them, each with one peculiarity; and files that no one can read."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from scripts.sources import gene_symbols

N_CELLS, N_GENES, N_TYPES = 400, 60, 3
TYPES = ["erythroid", "lymphoid", "myeloid"]
GENES = sorted(name for name in gene_symbols()["human"] if name.isalpha() and name.isupper())[:N_GENES]
IDS = [f"ENSG{100_000 + gene:011d}" for gene in range(N_GENES)]


def base() -> ad.AnnData:
    """Counts of three cell types, (400, 60) float32."""
    random = np.random.default_rng(0)
    place = np.arange(N_CELLS) % N_TYPES
    means = 1 + 4 * (np.arange(N_GENES) % N_TYPES == place[:, None])
    names = [f"CELL{cell:04d}-1" for cell in range(N_CELLS)]
    obs = pd.DataFrame({"cell_type": pd.Categorical(np.array(TYPES)[place])}, index=names)
    return ad.AnnData(random.poisson(means).astype(np.float32), obs, pd.DataFrame(index=GENES))


def logged(X: np.ndarray) -> np.ndarray:
    """log(1 + x) of 10,000 counts a cell."""
    return np.log1p(X / X.sum(axis=1, keepdims=True) * 1e4)


def discover(adata):
    adata.var = pd.DataFrame({"feature_name": GENES}, index=[f"{name}.3" for name in IDS])
    adata.raw = ad.AnnData(adata.X.copy(), adata.obs[[]], adata.var[[]])
    adata.X = logged(adata.X)


def census(adata):
    adata.var = pd.DataFrame({"feature_name": pd.Categorical(GENES)}, index=IDS)
    adata.obs.insert(0, "donor_id", pd.Categorical(np.arange(N_CELLS) % 2))
    adata.obs.insert(0, "soma_joinid", np.arange(N_CELLS))


def only_ensembl(adata):
    adata.var_names = [f"{name}.12" for name in IDS]


def duplicates(folder: Path) -> Path:
    """Symbols of several genes, in an index that is a column, too."""
    adata, names = base(), np.array(GENES, dtype=object)
    names[[5, 6, 20]] = GENES[1], GENES[1], GENES[2]
    adata.var_names = names
    adata.write_h5ad(folder / "cells.h5ad")
    with h5py.File(folder / "cells.h5ad", "a") as content:
        content.move("var/_index", "var/gene_symbols")
        content["var"].attrs.update({"_index": "gene_symbols", "column-order": ["gene_symbols"]})
    return folder / "cells.h5ad"


def nullable(adata):
    adata.obs["sample"] = pd.array(["s1", "s2"] * (N_CELLS // 2), dtype="string")
    adata.obs["n"] = pd.array([*range(N_CELLS - 1), None], dtype="Int64")
    adata.obs["flag"] = pd.array([True, False] * (N_CELLS // 2), dtype="boolean")


def label_nan(adata):
    adata.obs.loc[np.arange(N_CELLS) % 4 == 0, "cell_type"] = np.nan


def empty_cells(adata):
    adata.X[10:18] = 0


def fractional(adata):
    adata.X = (adata.X * 0.9 + 0.037 * np.random.default_rng(1).random(adata.shape)).astype(np.float32)


def log_normalised(adata):
    adata.X = logged(adata.X)


def log2_of_some_genes(adata):
    log_of_some_genes(adata)
    adata.X = (adata.X / np.log(2)).astype(np.float32)


def log_of_some_genes(adata):
    values = logged(base().X)
    values[:, N_GENES // 2 :] = 0  # as where variable genes were chosen after the logarithm
    adata.X = values


def scaled(adata):
    X = logged(adata.X)
    adata.X = (X - X.mean(axis=0)) / X.std(axis=0)


def in_layer(name: str) -> Callable:
    def change(adata):
        adata.layers[name] = sparse.csr_matrix(adata.X)
        adata.X = logged(adata.X)

    return change


def no_x(adata):
    adata.layers["counts"] = adata.X.copy()
    del adata.X


def citeseq(adata):
    adata.var["feature_types"] = ["Gene Expression"] * 50 + ["Antibody Capture"] * 8 + ["CRISPR Guide Capture"] * 2


def prefixed(prefix: str) -> Callable:
    def change(adata):
        adata.var_names = [prefix + name for name in GENES]

    return change


def odd_obs(adata):
    adata.obs["G1/S"] = np.random.default_rng(2).random(N_CELLS)
    adata.obs["cell_type"] = adata.obs.pop("cell_type").astype(str)


def clone_first(adata):
    clones = pd.Categorical([f"clone{cell % 232}" for cell in range(N_CELLS)])
    adata.obs = pd.DataFrame({"clone_id": clones, "Kind": adata.obs["cell_type"].to_numpy()}, index=adata.obs_names)


def batch_first(adata):
    adata.obs = pd.DataFrame(
        {"batch": pd.Categorical(np.arange(N_CELLS) % 2), "which": adata.obs["cell_type"]}, index=adata.obs_names
    )


def clusters_by_number(adata):
    numbers = adata.obs["cell_type"].cat.codes.to_numpy(int)
    adata.obs = pd.DataFrame({"is_doublet": numbers == 0, "n_genes": numbers, "Leiden": numbers}, index=adata.obs_names)


def many_columns(adata):
    """Labels, numbers, names of cells, where the cells come from, and the label again under other names."""
    number, types = np.arange(N_CELLS), adata.obs["cell_type"]
    columns = {
        "cell_type_id": types.cat.codes.to_numpy(int),
        "donor_id": [f"D{cell // 7 % 2}" for cell in number],
        "donor_name": [f"donor {cell // 7 % 2}" for cell in number],
        "lane": number % 5,
        "barcode": [f"b{cell}" for cell in number],
        "n_counts": np.random.default_rng(3).gamma(2, 500, N_CELLS),
        "nothing": pd.Categorical([None] * N_CELLS, ["a"]),
        "kind": [f"kind {cell % 4}" for cell in number],
        "split": ["a", "b"] * (N_CELLS // 2),
    }
    for name, values in columns.items():
        adata.obs[name] = values


def named_by(change: Callable) -> Callable:
    def rename(adata):
        adata.var_names = [change(name) for name in adata.var_names]

    return rename


def mouse_ids(adata):
    adata.var_names = [
        "ENSMUSG00000000001",
        "ENSMUSG00000000003.16",
        *(f"ENSMUSG99999999{n:03d}" for n in range(999, 941, -1)),
    ]


def only_batches(adata):
    adata.obs = pd.DataFrame({"sampleID": pd.Categorical(np.arange(N_CELLS) % 2)}, index=adata.obs_names)


def one_category(adata):
    adata.obs["cell_type"] = pd.Categorical(["T cell"] * N_CELLS)


def unused_categories(adata):
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.add_categories(["nowhere"])


def stored(form: type, dtype: str) -> Callable:
    def change(adata):
        values = adata.X.astype(dtype)
        adata.X = values if form is np.ndarray else form(values)

    return change


def written(change: Callable, file: Path) -> Path:
    adata = base()
    change(adata)
    adata.write_h5ad(file)
    return file


def twice(file: Path) -> Path:
    once = base()
    again = once[:100].copy()
    again.obs_names = [name.replace("-1", "-2") for name in again.obs_names]
    ad.concat([once, again, again]).write_h5ad(file)
    return file


def gz(folder: Path) -> Path:
    file, packed = written(lambda adata: None, folder / "cells.h5ad"), folder / "cells.h5ad.gz"
    with file.open("rb") as source, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(source, target)
    return packed


def zarr(folder: Path) -> Path:
    base().write_zarr(folder / "cells.zarr")
    return folder / "cells.zarr"


def ten_x_h5(folder: Path) -> Path:
    file, X = folder / "cells.filtered.h5", sparse.csr_matrix(base().X.astype(np.int32))
    with h5py.File(file, "w") as content:
        group = content.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(X, name)
        group["shape"] = np.array(X.shape[::-1])
        group["barcodes"] = base().obs_names.to_numpy().astype("S")
        texts = {
            "id": IDS,
            "name": GENES,
            "feature_type": ["Gene Expression"] * N_GENES,
            "genome": ["GRCh38"] * N_GENES,
        }
        for name, values in texts.items():
            group[f"features/{name}"] = np.array(values, dtype="S")
    return file


def ten_x_mtx(folder: Path, prefix: str = "") -> Path:
    target = folder / "ten.x"
    target.mkdir()
    X = sparse.coo_matrix(base().X.astype(int).T)
    entries = [f"{row + 1} {column + 1} {value}" for row, column, value in zip(X.row, X.col, X.data, strict=True)]
    head = ["%%MatrixMarket matrix coordinate integer general", f"{X.shape[0]} {X.shape[1]} {X.nnz}"]
    texts = {
        "matrix.mtx": [*head, *entries],
        "features.tsv": [f"{number}\t{name}\tGene Expression" for number, name in zip(IDS, GENES, strict=True)],
        "barcodes.tsv": list(base().obs_names),
    }
    for name, lines in texts.items():
        with gzip.open(target / f"{prefix}{name}.gz", "wt") as file:
            file.write("\n".join(lines) + "\n")
    return target


def old(folder: Path) -> Path:
    """As anndata before 0.7 wrote: tables as compound arrays, categories apart."""
    file, adata = folder / "cells.h5ad", base()
    codes = adata.obs["cell_type"].cat.codes.to_numpy()
    obs = np.array(list(zip(adata.obs_names, codes, strict=True)), [("index", "S12"), ("cell_type", "i1")])
    with h5py.File(file, "w") as content:
        content["X"], content["obs"] = adata.X, obs
        content["var"] = np.array([(name,) for name in GENES], [("index", "S20")])
        content["uns/cell_type_categories"] = np.array(TYPES, dtype="S")
    return file


def link(folder: Path) -> Path:
    """A name with a space, which points to one of a content-addressed store."""
    (folder / "store").mkdir()
    blob, file = written(lambda adata: None, folder / "store" / "SHA256E-s1--3f.h5ad"), folder / "Zellen ü 1.h5ad"
    file.symlink_to(blob)
    return file


def odd_parts(folder: Path) -> Path:
    """Elements of kinds that no anndata knows, where nothing is needed."""
    file = written(in_layer("counts"), folder / "cells.h5ad")
    with h5py.File(file, "a") as content:
        for place in ("uns/odd", "layers/odd", "obsm/odd", "obs/odd"):
            content[place] = np.arange(3)
            content[place].attrs.update({"encoding-type": "of tomorrow", "encoding-version": "9"})
        content["obs"].attrs["column-order"] = ["cell_type", "odd"]
    return file
