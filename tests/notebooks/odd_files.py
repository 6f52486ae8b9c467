"""Files of cells with oddities drawn from a seed, alone and together."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from tests.cells.cases import GENES

Random = np.random.Generator
NAMES = [
    "nan",
    "NA",
    "",
    "a/b",
    "Ген β",
    "遺伝子",
    "<b>bold</b>",
    "=1+1",
    "a,b",
    'q"uote',
    "$x$",
    "1",
    "Mar-1",
    " space ",
]


def cells(random: Random) -> ad.AnnData:
    """Counts of cells along a line, 40 to 150, over 20 to 200 genes, with a type that the place decides."""
    n_cells, n_genes = int(random.integers(40, 151)), int(random.integers(20, 201))
    place, peaks = np.sort(random.random(n_cells)), np.linspace(0, 1, n_genes)
    counts = random.poisson(8 * np.exp(-20 * (place[:, None] - peaks) ** 2) + 0.3).astype(np.float32)
    genes = [*GENES, *(f"GENE{i}" for i in range(n_genes))][:n_genes]
    types = pd.Categorical(np.array(["a", "b", "c"])[(place * 2.999).astype(int)])
    obs = pd.DataFrame({"cell_type": types}, index=[f"cell{i}" for i in range(n_cells)])
    return ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes))


def _some(n: int, random: Random) -> np.ndarray:
    """At least one of n places, at most a third of them."""
    return random.choice(n, random.integers(1, max(2, n // 3)), replace=False)


def _types(adata: ad.AnnData, random: Random) -> None:
    kinds = ["u1", "i1", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "?"]
    adata.X = adata.X.astype(random.choice(kinds))


def _values(change: Callable) -> Callable:
    """Change of the dense float values: change(X, random) -> X."""

    def oddity(adata: ad.AnnData, random: Random) -> None:
        adata.X = np.asarray(change(adata.X.astype(np.float32).copy(), random), dtype=np.float32)

    return oddity


def _put(value: float, where: str) -> Callable:
    def change(X: np.ndarray, random: Random) -> np.ndarray:
        if where == "cell":
            X[_some(len(X), random)] = value
        elif where == "gene":
            X[:, _some(X.shape[1], random)] = value
        elif where == "all":
            X[:] = value
        else:
            X[random.integers(len(X)), random.integers(X.shape[1])] = value
        return X

    return change


def _identical(X: np.ndarray, random: Random) -> np.ndarray:
    X[_some(len(X), random)] = X[0]
    return X


def _rare(X: np.ndarray, random: Random) -> np.ndarray:
    for gene in _some(X.shape[1], random):
        X[:, gene] = 0
        X[random.integers(len(X)), gene] = random.integers(1, 4)
    return X


def _apart(X: np.ndarray, random: Random) -> np.ndarray:
    n_cells, n_genes = (size // 2 for size in X.shape)
    X[:n_cells, :n_genes] = X[n_cells:, n_genes:] = 0
    return X


def _scaled(X: np.ndarray, random: Random) -> np.ndarray:
    X = np.log1p(X)
    return (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-9)


def _logged(X: np.ndarray, random: Random) -> np.ndarray:
    return np.log1p(X / (X.sum(axis=1, keepdims=True) + 1e-9) * 1e4)


def _few(low: int, high: int, axis: int) -> Callable:
    def oddity(adata: ad.AnnData, random: Random) -> None:
        keep = random.integers(low, high)
        adata._inplace_subset_obs(slice(keep)) if axis == 0 else adata._inplace_subset_var(slice(keep))

    return oddity


def _names(which: str) -> Callable:
    def oddity(adata: ad.AnnData, random: Random) -> None:
        table = getattr(adata, which)
        names = np.array(table.index, dtype=object)
        names[_some(len(names), random)] = random.choice(NAMES)
        names[_some(len(names), random)] = random.choice(NAMES)
        table.index = names

    return oddity


def _column(make: Callable) -> Callable:
    """A column of odd labels, in place of the cell type or beside it."""

    def oddity(adata: ad.AnnData, random: Random) -> None:
        name = random.choice(["cell_type", "leiden", "batch", "a/b", "score", "split", "n", "index"])
        adata.obs[name] = make(adata.n_obs, random)

    return oddity


def _mixed(n: int, random: Random) -> np.ndarray:
    return np.array([random.choice(NAMES) for _ in range(n)], dtype=object)


COLUMNS = {
    "all missing": lambda n, random: np.full(n, np.nan),
    "all missing categories": lambda n, random: pd.Categorical([None] * n, categories=["a"]),
    "one category": lambda n, random: pd.Categorical(["only"] * n),
    "a category per cell": lambda n, random: pd.Categorical([f"clone{i}" for i in range(n)]),
    "unused categories": lambda n, random: pd.Categorical(random.choice(["a", "b"], n), categories=list("abcdef")),
    "some missing": lambda n, random: pd.Categorical(random.choice(["a", "b", None], n)),
    "category of one cell": lambda n, random: pd.Categorical(["rare"] + ["common"] * (n - 1)),
    "bool": lambda n, random: random.random(n) < 0.5,
    "int": lambda n, random: random.integers(0, 4, n),
    "float": lambda n, random: random.normal(size=n),
    "nullable int": lambda n, random: pd.array([None, *random.integers(0, 3, n - 1)], dtype="Int64"),
    "nullable bool": lambda n, random: pd.array([None, *(random.random(n - 1) < 0.5)], dtype="boolean"),
    "nullable text": lambda n, random: pd.array([None, *random.choice(["a", "b"], n - 1)], dtype="string"),
    "categories of numbers": lambda n, random: pd.Categorical(random.integers(0, 3, n)),
    "odd text": _mixed,
    "odd categories": lambda n, random: pd.Categorical(_mixed(n, random)),
}


def _layer(adata: ad.AnnData, random: Random) -> None:
    name = random.choice(["counts", "raw_counts", "logcounts", "spliced", "x/y"])
    adata.layers[name] = random.choice([adata.X, np.zeros_like(adata.X), np.full(adata.shape, np.nan), -adata.X])


def _raw(adata: ad.AnnData, random: Random) -> None:
    adata.raw = adata.copy()
    if random.random() < 0.5:
        adata._inplace_subset_var(slice(max(2, adata.n_vars // 2)))


def _no_x(adata: ad.AnnData, random: Random) -> None:
    if random.random() < 0.7:
        adata.layers["counts"] = adata.X
    adata.X = None


def _extra(adata: ad.AnnData, random: Random) -> None:
    adata.obsm["X_umap"], adata.obsm["X_freq"] = random.normal(size=(adata.n_obs, 2)), np.zeros((adata.n_obs, 1))
    adata.obsp["connectivities"] = sparse.csr_matrix((adata.n_obs, adata.n_obs))
    adata.varm["modules"] = np.full((adata.n_vars, 3), np.nan)
    adata.uns |= {
        "label": np.array([1, 2]),
        "dataset": "text",
        "freq_vals": np.zeros(1),
        "log1p": {},
        "nested": {"a": {}},
    }


def _var_columns(adata: ad.AnnData, random: Random) -> None:
    adata.var["gene_symbols"] = random.choice([*NAMES, *GENES], adata.n_vars)
    adata.var["feature_types"] = random.choice(["Gene Expression", "Antibody Capture", "nan"], adata.n_vars)


ODDITIES: dict[str, Callable[[ad.AnnData, Random], None]] = {
    "few cells": _few(1, 20, 0),
    "few genes": _few(1, 8, 1),
    "negative": _values(_put(-1.0, "one")),
    "NaN": _values(_put(np.nan, "one")),
    "infinite": _values(_put(np.inf, "one")),
    "huge": _values(lambda X, random: X * 10.0 ** random.integers(4, 30)),
    "one huge": _values(_put(1e9, "one")),
    "tiny": _values(lambda X, random: X * 1e-12),
    "fractional": _values(lambda X, random: X * random.uniform(0.3, 0.9)),
    "logarithms": _values(_logged),
    "scaled": _values(_scaled),
    "empty cells": _values(_put(0.0, "cell")),
    "silent genes": _values(_put(0.0, "gene")),
    "constant genes": _values(_put(3.0, "gene")),
    "all the same": _values(_put(2.0, "all")),
    "all zero": _values(_put(0.0, "all")),
    "identical cells": _values(_identical),
    "rare genes": _values(_rare),
    "groups apart": _values(_apart),
    "noise": _values(lambda X, random: random.poisson(0.5, X.shape)),
    "transposed": _values(lambda X, random: X),  # see `_written`
    "cell names": _names("obs"),
    "gene names": _names("var"),
    **{f"column, {name}": _column(make) for name, make in COLUMNS.items()},
    "columns of genes": _var_columns,
    "type": _types,
    "extra": _extra,
    "layer": _layer,
    "raw": _raw,
    "no X": _no_x,
}
FORMS = [np.asarray, sparse.csr_matrix, sparse.csc_matrix]


def _edited(name: str) -> Callable:
    """Change of the stored sparse matrix: of the indices' type, order, uniqueness or range."""

    def damage(path: Path, random: Random) -> None:
        with h5py.File(path, "a") as file:
            if not isinstance(file.get("X"), h5py.Group):
                return
            X = file["X"]
            indices = X["indices"][:].astype("i8")
            if len(indices) < 2:
                return
            place = random.integers(len(indices) - 1)
            if name == "order":
                indices[place : place + 2] = indices[place : place + 2][::-1]
            elif name == "twice":
                indices[place + 1] = indices[place]
            elif name == "range":
                indices[place] = random.choice([-1, 10**6])
            del X["indices"]
            X["indices"] = indices

    return damage


def _flipped(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    for place in random.integers(len(content), size=random.integers(1, 30)):
        content[place] = random.integers(256)
    path.write_bytes(content)


def _truncated(path: Path, random: Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: random.integers(len(content))])


DAMAGES: dict[str, Callable[[Path, Random], None]] = {
    **{f"indices, {name}": _edited(name) for name in ("type", "order", "twice", "range")},
    "bytes flipped": _flipped,
    "truncated": _truncated,
}


def draw(seed: int, folder: Path) -> tuple[Path, list[str]]:
    """Write the file of a seed, with up to four oddities, and in some files damage; returns its path and these."""
    random = np.random.default_rng(seed)
    names = [str(name) for name in random.choice(list(ODDITIES), random.integers(0, 5), replace=False)]
    if seed < len(ODDITIES):  # each alone, once
        names = [list(ODDITIES)[seed]]
    path = folder / "cells.h5ad"
    if not _written(path, seed, names):  # anndata cannot write some oddities, alone or beside others
        names = [name for name in names if _written(path, seed, [name])]
        while not _written(path, seed, names):
            names.pop()
    if seed >= len(ODDITIES) and random.random() < 0.2:
        damage = str(random.choice(list(DAMAGES)))
        DAMAGES[damage](path, random)
        names.append(damage)
    if random.random() < 0.1:
        with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
            shutil.copyfileobj(plain, packed)
        return Path(f"{path}.gz"), [*names, "gz"]
    return path, names


def _written(path: Path, seed: int, names: list[str]) -> bool:
    random = np.random.default_rng([seed, 1])
    adata = cells(random)
    for name in sorted(names, key=list(ODDITIES).index):
        ODDITIES[name](adata, random)
    if "transposed" in names and adata.X is not None:
        adata = adata.T.copy()
    form = FORMS[random.integers(3)]
    if adata.X is not None and adata.X.dtype != np.float16:
        adata.X = form(adata.X)
    try:
        adata.write_h5ad(path)
    except Exception:
        if not names:
            raise
        return False
    return True
