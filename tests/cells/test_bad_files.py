"""Files that cannot be used: each is one line that names the file, the cause and the remedy."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import sparse

from scripts.cells import Preparation, load, read
from scripts.errors import InputError
from scripts.sources import resolve
from tests.cells import cases


def whole(folder: Path) -> Path:
    return cases.written(cases.stored(sparse.csr_matrix, "float32"), folder / "cells.h5ad")


def bad_bytes(content: bytes, name: str = "cells.h5ad"):
    def make(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return make


def truncated(share: float, make=whole):
    def cut(folder):
        file = make(folder)
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
        return file

    return cut


def damaged(file: Path, signature: bytes) -> Path:
    """All places of a signature of HDF5 overwritten."""
    file.write_bytes(file.read_bytes().replace(signature, b"XXXX"))
    return file


def edited(change):
    """A sparse file whose parts are changed where they lie."""

    def make(folder):
        file = whole(folder)
        with h5py.File(file, "a") as content:
            change(content)
        return file

    return make


def with_values(place: str, change):
    """What puts other values in the place of those of a dataset."""

    def edit(content):
        values, attributes = change(content[place][:]), dict(content[place].attrs)
        del content[place]
        content[place] = values
        content[place].attrs.update(attributes)

    return edit


def replaced(place: str, change):
    return edited(with_values(place, change))


def put(values: np.ndarray, at: int, value) -> np.ndarray:
    values[at] = value
    return values


def values(change):
    def make(folder):
        def of(adata):
            adata.X = change(adata.X)

        return cases.written(of, folder / "cells.h5ad")

    return make


def part(rows: slice, columns: slice):
    def make(folder):
        cases.base()[rows, columns].copy().write_h5ad(folder / "cells.h5ad")
        return folder / "cells.h5ad"

    return make


def folder_of(*names: str, name: str = "cells.h5ad"):
    def make(folder):
        (folder / name).mkdir()
        for each in names:
            (folder / name / each).write_text("nothing")
        return folder / name

    return make


def without(name: str):
    def make(folder):
        target = cases.ten_x_mtx(folder)
        (target / name).unlink()
        return target

    return make


def transposed(folder):
    cases.base().T.write_h5ad(folder / "cells.h5ad")
    return folder / "cells.h5ad"


def broken_zarr(folder):
    target = cases.zarr(folder)
    for file in (target / "X").rglob("*"):
        if file.is_file():
            file.write_bytes(b"x")
    return target


def loom(folder):
    with h5py.File(folder / "cells.loom", "w") as content:
        content["matrix"] = np.zeros((3, 3))
        content.create_group("row_attrs")
        content.create_group("col_attrs")
    return folder / "cells.loom"


BAD = {
    "empty": (bad_bytes(b""), "is not an .h5ad file but empty"),
    "text": (bad_bytes(b"cell,gene\n1,2\n", "cells.csv"), "is not an .h5ad file"),
    "picture": (bad_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)), "is not an .h5ad file"),
    "archive": (bad_bytes(b"PK\x03\x04" + bytes(100)), "is not an .h5ad file"),
    "zeros": (bad_bytes(bytes(5000)), "is not an .h5ad file"),
    "signature alone": (bad_bytes(b"\x89HDF\r\n\x1a\n"), "damaged or not an .h5ad file"),
    "gz of text": (bad_bytes(gzip.compress(b"text"), "cells.h5ad.gz"), "holds no .h5ad file|is not an .h5ad file"),
    "gz of nothing": (bad_bytes(gzip.compress(b""), "cells.h5ad.gz"), "is not an .h5ad file but empty"),
    "gz cut": (truncated(0.5, cases.gz), "damaged or not a .h5ad.gz file"),
    "gz signature": (bad_bytes(b"\x1f\x8b", "cells.h5ad.gz"), "damaged or not a .h5ad.gz file"),
    **{f"cut at {share}": (truncated(share), "damaged|not an .h5ad") for share in (0.001, 0.01, 0.1, 0.3, 0.5, 0.9)},
    "cut by a byte": (truncated(0.99999), "damaged"),
    "10x cut": (truncated(0.7, cases.ten_x_h5), "damaged"),
    "old format cut": (truncated(0.7, cases.old), "damaged"),
    "other HDF5": (edited(lambda content: content.pop("obs")), "is not an .h5ad file"),
    "damaged table of contents": (
        lambda folder: damaged(whole(folder), b"TREE"),
        "damaged or not an .h5ad file",
    ),
    "no var": (edited(lambda content: content.pop("var")), "is not an .h5ad file"),
    "no X, no layers": (edited(lambda content: content.pop("X")), "has no X, and no counts in another place"),
    "no indices": (edited(lambda content: content.pop("X/indices")), "damaged or not a .h5ad file"),
    "index too large": (replaced("X/indices", lambda x: put(x, 7, 60)), "no sound sparse matrix"),
    "index far too large": (replaced("X/indices", lambda x: put(x, 7, 2**31 - 1)), "no sound sparse matrix"),
    "index negative": (replaced("X/indices", lambda x: put(x, 7, -1)), "no sound sparse matrix"),
    "indptr falls": (replaced("X/indptr", lambda x: put(x, 7, x[9] + 5)), "no sound sparse matrix"),
    "indptr too long": (replaced("X/indptr", lambda x: np.append(x, x[-1])), "damaged|no sound sparse matrix"),
    "indptr beyond the end": (replaced("X/indptr", lambda x: put(x, -1, x[-1] + 9)), "no sound sparse|damaged"),
    "fewer values than indices": (replaced("X/data", lambda x: x[:-5]), "damaged|no sound sparse matrix"),
    "fewer cells than rows": (replaced("obs/_index", lambda x: x[:-3]), "damaged or not a .h5ad file"),
    "text as values": (replaced("X/data", lambda x: x.astype("S4")), "holds values of type|damaged"),
    "complex": (values(lambda X: X.astype(np.complex64)), "cells: X holds complex numbers"),
    "NaN": (values(lambda X: np.where(X > 8, np.nan, X)), r"cells: X holds \d+ NaN values"),
    "infinite": (values(lambda X: np.where(X > 8, np.inf, X)), r"cells: X holds \d+ infinite values"),
    "all zero": (values(np.zeros_like), "cells: X holds only zeros"),
    "no cells": (part(slice(0), slice(None)), "holds 0 cells x 60 genes: at least"),
    "no genes": (part(slice(None), slice(0)), "holds 400 cells x 0 genes: at least"),
    "one cell": (part(slice(1), slice(None)), "holds 1 cells x 60 genes: at least"),
    "one gene": (part(slice(None), slice(1)), "holds 400 cells x 1 genes: at least"),
    "all cells the same": (
        values(lambda X: np.ones_like(X)),
        r"only 1 of 400 cells would be left \(399 the same as another cell",
    ),
    "transposed": (transposed, "obs_names are 60 gene symbols of 60, var_names none: .* transpose it"),
    "folder of nothing": (folder_of(), "is not an .h5ad file"),
    "folder of text": (folder_of("read.me"), "is not an .h5ad file"),
    "zarr of nothing": (folder_of(".zgroup", name="cells.zarr"), "damaged or not a .zarr file"),
    "zarr with broken values": (broken_zarr, "damaged or not a .zarr file"),
    "10x without features": (without("features.tsv.gz"), "is missing: 10x folders hold"),
    "10x without barcodes": (without("barcodes.tsv.gz"), "is missing: 10x folders hold"),
    "10x of text": (folder_of("matrix.mtx", "genes.tsv", "barcodes.tsv", name="ten"), "damaged or not a 10x"),
    "no genes among the features": (
        lambda folder: cases.written(
            lambda adata: adata.var.insert(0, "feature_types", "Antibody Capture"), folder / "cells.h5ad"
        ),
        "holds no 'Gene Expression' features",
    ),
    "loom": (loom, "need the package loompy|damaged"),
}


def with_more(change):
    """Counts in X and in layers and raw, whose parts are changed where they lie."""

    def make(folder):
        def of(adata):
            adata.layers["spliced"], adata.layers["dense"] = sparse.csr_matrix(adata.X), adata.X.copy()
            adata.obs["stage"], adata.var["length"] = adata.obs["cell_type"].astype(str), range(adata.n_vars)
            adata.raw = adata.copy()

        file = cases.written(of, folder / "cells.h5ad")
        with h5py.File(file, "a") as content:
            change(content)
        return file

    return make


def part_of(place: str, change):
    return with_more(with_values(place, change))


def bytes_lost(place: str):
    """A part whose values lie behind a checksum that they no longer have, as after a bad copy: h5py's OSError."""

    def make(folder):
        def edit(content):
            values, attributes = content[place][:], dict(content[place].attrs)
            del content[place]
            stored = content.create_dataset(place, data=values, chunks=values.shape, fletcher32=True)
            stored.attrs.update(attributes)
            where.append(stored.id.get_chunk_info(0).byte_offset)

        where: list[int] = []
        file = with_more(edit)(folder)
        with file.open("r+b") as raw:
            raw.seek(where[0])
            raw.write(b"XXXX")
        return file

    return make


# a part that no run needs is damaged: (file, what is left out, setting that asks for it)
LEFT_OUT = {
    "too few values": (part_of("layers/spliced/data", lambda x: x[:-5]), "layer spliced", "spliced"),
    "index too large": (part_of("layers/spliced/indices", lambda x: put(x, 7, 60)), "layer spliced", "spliced"),
    "index negative": (part_of("layers/spliced/indices", lambda x: put(x, 7, -1)), "layer spliced", "spliced"),
    "indptr cut": (part_of("layers/spliced/indptr", lambda x: x[:-3]), "layer spliced", "spliced"),
    "indptr falls": (part_of("layers/spliced/indptr", lambda x: put(x, 7, x[9] + 5)), "layer spliced", "spliced"),
    "no indices": (with_more(lambda content: content.pop("layers/spliced/indices")), "layer spliced", "spliced"),
    "other shape": (
        with_more(lambda content: content["layers/spliced"].attrs.__setitem__("shape", [3, 3])),
        "layer spliced",
        "spliced",
    ),
    "rows lost": (part_of("layers/dense", lambda x: x[:-5]), "layer dense", "dense"),
    "bytes lost": (bytes_lost("layers/dense"), "layer dense", "dense"),
    "bytes of a sparse layer lost": (bytes_lost("layers/spliced/data"), "layer spliced", "spliced"),
    "bytes of raw lost": (bytes_lost("raw/X"), "raw.X", "raw"),
    "rows of raw lost": (part_of("raw/X", lambda x: x[:-5]), "raw.X", "raw"),
    "raw without X": (with_more(lambda content: content.pop("raw/X")), "raw.X", "raw"),
    "names of raw cut": (part_of("raw/var/_index", lambda x: x[:-2]), "raw.X", "raw"),
    "codes too large": (part_of("obs/cell_type/codes", lambda x: x + 50), "obs column cell_type", ""),
    "codes cut": (part_of("obs/cell_type/codes", lambda x: x[:-5]), "obs column cell_type", ""),
    "no categories": (with_more(lambda content: content.pop("obs/cell_type/categories")), "obs column cell_type", ""),
    "column lost": (with_more(lambda content: content.pop("obs/stage")), "obs column stage", ""),
    "column cut": (part_of("var/length", lambda x: x[:-5]), "var column length", ""),
    "bytes of a column lost": (bytes_lost("var/length"), "var column length", ""),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_a_damaged_part_is_said_to_be_left_out_and_is_an_error_where_it_is_asked_for(kind, tmp_path):
    make, place, layer = LEFT_OUT[kind]
    source = resolve(str(make(tmp_path)))
    adata = load(source, Preparation())
    said = list(adata.uns["dataset"]["said"])
    assert adata.shape == (cases.N_CELLS, cases.N_GENES) and adata.uns["dataset"]["steps"][0] == "normalize_total"
    told = [sentence for sentence in said if sentence.startswith(f"{place} could not be read (")]
    assert told and all(sentence.endswith(") and is left out.") and sentence.isprintable() for sentence in said)
    if layer:
        with pytest.raises(
            InputError, match=rf"cells: {place} could not be read \(.*\): write the file again"
        ) as error:
            load(source, Preparation(layer=layer))
        assert str(error.value).isprintable()


def test_where_neither_x_nor_counts_are_left_what_is_damaged_is_named(tmp_path):
    def change(content):
        del content["X"], content["raw"], content["layers/dense"], content["layers/spliced/indices"]

    with pytest.raises(InputError, match=r"has no X, .* \(it has none\); layer spliced could not be read"):
        load(resolve(str(with_more(change)(tmp_path))), Preparation())


def test_x_is_named_where_its_bytes_are_lost(tmp_path):
    with pytest.raises(InputError, match=r"cells.h5ad is damaged or not a .h5ad file \(.*, in X\): copy or write it"):
        load(resolve(str(bytes_lost("X")(tmp_path))), Preparation())


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_line_with_file_cause_and_remedy(kind, tmp_path):
    make, message = BAD[kind]
    file = make(tmp_path)
    with pytest.raises(InputError, match=message) as told:
        load(resolve(str(file)), Preparation())
    line = str(told.value)
    assert file.name.split(".")[0] in line and len(line.splitlines()) == 1 and line.isprintable()
    assert any(word in line for word in ("write", "copy", "name", "hold", "install", "remove", "transpose"))


def test_a_file_that_is_too_large_for_the_memory_is_not_called_damaged(tmp_path, monkeypatch):
    cases.base().write_h5ad(tmp_path / "cells.h5ad")

    def too_large(element):
        raise MemoryError

    monkeypatch.setattr("anndata.io.read_elem", too_large)
    with pytest.raises(MemoryError):
        read(tmp_path / "cells.h5ad")
