"""Cells never seen get what the formulas say, however their file is written, or one line on why not."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scripts import __main__
from scripts.cells import Preparation, load
from scripts.errors import InputError
from scripts.models import BilinearForm
from scripts.reading import Scorer, as_cells, score
from scripts.report.run import Run
from scripts.sources import resolve
from tests.cells import cases

N_FREQ = 3


def form_of(genes: list[str]) -> BilinearForm:
    random = np.random.default_rng(0)
    n_genes = len(genes)
    weights = random.normal(size=(4, n_genes)), random.normal(size=(4, n_genes)), random.normal(size=(N_FREQ, 4))
    return BilinearForm.from_factors(*weights, a=0.3, b=-0.2, c=[1.0, 0.0, -2.0], genes=genes)


def made(change, folder: Path) -> tuple[ad.AnnData, Scorer]:
    """Cells of a run of a file, with directions of their variation in the place of frequencies, and a model."""
    adata = load(resolve(str(cases.written(change, folder / "run.h5ad"))), Preparation())
    adata.obsm["X_freq"] = np.linalg.svd(adata.X - adata.X.mean(axis=0))[0][:, :N_FREQ].astype(float)
    form = form_of(list(adata.var_names)).turned(adata.X, adata.obsm["X_freq"])
    return adata, Scorer.of(form, adata)


@pytest.fixture(scope="module")
def of_counts(tmp_path_factory):
    return made(lambda adata: None, tmp_path_factory.mktemp("cells"))


def new_cells(n_cells: int = 50) -> ad.AnnData:
    """Counts of other cells of the same kinds, deeper sequenced."""
    adata = cases.base()[:n_cells].copy()
    adata.X = np.random.default_rng(7).poisson(1.7 * adata.X + 0.2).astype(np.float32)
    return adata


def by_hand(X: np.ndarray, known: np.ndarray, run: ad.AnnData) -> np.ndarray:
    """Expression as the model sees it, by the formulas; X : (n_cells, n_known) counts of known genes."""
    counts = run.layers["counts"].toarray().astype(float)
    total = counts.sum(axis=1, keepdims=True)
    normalised = counts / total * np.median(total)
    logs = np.log1p(normalised)
    mean, deviation = logs.mean(axis=0), logs.std(axis=0, ddof=1)
    found = np.log1p(X / X.sum(axis=1, keepdims=True) * normalised[:, known].mean(axis=0).sum())
    scaled = np.zeros((len(X), run.n_vars))
    limit = np.sqrt(len(counts) - 1)
    scaled[:, known] = ((found - mean[known]) / deviation[known]).clip(-limit, limit)
    return scaled


def frequencies(scores: pd.DataFrame) -> np.ndarray:
    return scores[[f"freq_{f}" for f in range(N_FREQ)]].to_numpy()


def same(scores: pd.DataFrame, others: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(scores, others, rtol=1e-4, atol=1e-4)


def test_cells_of_the_run_get_what_the_form_predicts(of_counts):
    run, model = of_counts
    scores = score(cases.base(), model, n_modules=8)
    np.testing.assert_allclose(frequencies(scores), model.form.predict(run.X), atol=1e-3)
    assert not scores["out_of_range"].any() and list(scores.index) == list(cases.base().obs_names)


def test_other_cells_get_what_the_formulas_say(of_counts):
    run, model = of_counts
    X = by_hand(new_cells().X.astype(float), np.ones(run.n_vars, dtype=bool), run)
    scores = score(new_cells(), model, n_modules=8)  # all: four products are of rank 8
    np.testing.assert_allclose(frequencies(scores), model.form.predict(X), rtol=1e-3, atol=1e-3)
    values, loadings = model.form.modules(8)
    for f in range(N_FREQ):
        axes = scores[[f"f{f}_m{m}_axis" for m in range(1, 9)]].to_numpy()
        added = scores[[f"f{f}_m{m}_score" for m in range(1, 9)]].to_numpy()
        np.testing.assert_allclose(np.abs(axes), np.abs(X @ loadings[f]), atol=1e-3)
        np.testing.assert_allclose(added, values[f] * axes**2, rtol=1e-6)
        whole = model.form.constant[f] + X @ model.form.main[f] + added.sum(axis=1)
        np.testing.assert_allclose(scores[f"freq_{f}"], whole, rtol=1e-3, atol=1e-2)


def test_the_high_end_of_an_axis_is_that_of_its_frequency(of_counts):
    run, model = of_counts
    scores = score(cases.base(), model, n_modules=3)
    for f in range(N_FREQ):
        for m in (1, 2, 3):
            assert np.corrcoef(scores[f"f{f}_m{m}_axis"], run.obsm["X_freq"][:, f])[0, 1] > 0


def shuffled(adata):
    return adata[:, np.random.default_rng(1).permutation(adata.n_vars)].copy()


def with_others(adata):
    more = np.random.default_rng(2).poisson(3.0, (adata.n_obs, 40)).astype(np.float32)
    var = pd.DataFrame(index=[*adata.var_names, *(f"MADE{i}" for i in range(40))])
    return ad.AnnData(np.hstack([adata.X, more]), adata.obs, var)


def in_layer(adata):
    adata.layers["counts"], adata.X = adata.X, cases.logged(adata.X)
    return adata


def in_raw(adata):
    adata.raw = adata.copy()
    adata.X = adata.X - adata.X.mean(axis=0)
    return adata


def logs_to(base):
    def change(adata):
        adata.X = np.log1p(adata.X / adata.X.sum(axis=1, keepdims=True) * 1e4) / np.log(base)
        return adata

    return change


def as_sparse(kind):
    def change(adata):
        adata.X = kind(adata.X)
        return adata

    return change


def whole_numbers(adata):
    adata.X = adata.X.astype(np.int64)
    return adata


@pytest.mark.parametrize(
    "change",
    [shuffled, with_others, in_layer, in_raw, whole_numbers, logs_to(np.e), logs_to(2), logs_to(10)]
    + [as_sparse(sparse.csr_matrix), as_sparse(sparse.csc_array)],
)
def test_the_same_cells_in_any_form_get_the_same(change, of_counts):
    _, model = of_counts
    same(score(change(new_cells()), model), score(new_cells(), model))


def test_ensembl_names_and_symbols_are_the_same_genes(tmp_path):
    run, model = made(cases.only_ensembl, tmp_path)
    by_id, by_symbol = new_cells(), new_cells()
    cases.only_ensembl(by_id)
    by_symbol.var_names = run.var_names
    same(score(by_id, model), score(by_symbol, model))
    assert "no column of symbols" in score(by_id, model).attrs["said"][0]


@pytest.mark.parametrize("n_left", [50, 20])
def test_missing_genes_take_their_mean_and_are_counted(n_left, of_counts):
    run, model = of_counts
    known = np.arange(run.n_vars) % run.n_vars < n_left
    some = new_cells()[:, known].copy()
    scores = score(some, model)
    X = by_hand(some.X.astype(float), known, run)
    np.testing.assert_allclose(frequencies(scores), model.form.predict(X), rtol=1e-3, atol=1e-3)
    said = " ".join(scores.attrs["said"])
    assert f"{60 - n_left} of the model's 60 genes are missing ({cases.GENES[n_left]}, " in said and "mean: 0" in said
    assert ("more than half" in said) == (n_left < 30)


def test_no_common_gene_is_an_error(of_counts):
    adata = new_cells()
    adata.var_names = [f"MADE{i}" for i in range(adata.n_vars)]
    with pytest.raises(InputError, match="50 cells with 0 of the 60 genes that the model was fitted to"):
        score(adata, of_counts[1])


@pytest.mark.parametrize("change", [cases.log_normalised, cases.scaled])
def test_a_run_without_counts_takes_values_of_its_kind(change, tmp_path):
    run, model = made(change, tmp_path)
    values = ad.read_h5ad(tmp_path / "run.h5ad")
    values.layers["counts"] = cases.base().X  # which the model knows nothing of
    np.testing.assert_allclose(frequencies(score(values, model)), model.form.predict(run.X), rtol=1e-3, atol=1e-2)
    with pytest.raises(InputError, match="X holds counts, but the run had none"):
        score(new_cells(), model)


def test_scaled_values_are_taken_as_they_are_and_said(of_counts):
    run, model = of_counts
    scaled = ad.AnnData(run.X, var=pd.DataFrame(index=run.var_names))
    scores = score(scaled, model)
    np.testing.assert_allclose(frequencies(scores), model.form.predict(run.X), rtol=1e-5)
    assert "holds negative values: taken as scaled already" in scores.attrs["said"][0]


def test_expression_that_is_not_centred_is_not_centred_again(of_counts):
    """That of a run of so many cells that it stays sparse."""
    run, model = of_counts
    run = run.copy()
    run.X = sparse.csr_matrix(run.X + (run.var["mean"] / run.var["std"]).to_numpy(np.float32))
    as_of_many = Scorer.of(model.form, run)
    expected = model.form.predict(run.X.toarray())
    np.testing.assert_allclose(frequencies(score(cases.base(), as_of_many)), expected, rtol=1e-3, atol=1e-2)
    without = score(cases.base()[:, 1:].copy(), as_of_many)  # the gene's mean is not 0 then
    assert "mean: as it is in the cells of the run" in without.attrs["said"][0]
    assert np.abs(frequencies(without) - expected).mean() < 0.3 * np.abs(expected - expected.mean(axis=0)).mean()


def test_genes_that_are_the_same_in_all_cells_of_the_run_say_nothing(tmp_path):
    def one_unseen(adata):
        adata.X[:, 3] = 0

    _, model = made(one_unseen, tmp_path)
    without = new_cells()
    without.X[:, 3] = 0
    same(score(new_cells(), model), score(without, model))


def test_cells_beyond_those_of_the_run_are_told(of_counts):
    _, model = of_counts
    odd = new_cells()
    odd.X[:5] = 0
    odd.X[:5, 7] = 50  # a single gene makes up the whole cell
    odd.X[5] = 0
    scores = score(odd, model)
    assert scores["out_of_range"][:5].all() and not scores["out_of_range"].iloc[5]
    assert np.isnan(frequencies(scores)[5]).all() and np.isfinite(np.delete(frequencies(scores), 5, axis=0)).all()
    n_beyond = scores["out_of_range"].sum()
    said = " ".join(scores.attrs["said"])
    assert f"{n_beyond} of 50 cells" in said and "1 cells have no counts" in said


def test_what_is_saved_scores_alike(of_counts, tmp_path):
    _, model = of_counts
    model.save(tmp_path / "model.safetensors")
    same(score(new_cells(), Scorer.load(tmp_path / "model.safetensors")), score(new_cells(), model))
    np.testing.assert_array_equal(BilinearForm.load(tmp_path / "model.safetensors").core, model.form.core)
    model.form.save(tmp_path / "old.safetensors")
    with pytest.raises(InputError, match="old.safetensors does not hold how .* run 03_train.ipynb again"):
        Scorer.load(tmp_path / "old.safetensors")


def test_products_are_in_the_frequencies_and_modules_are_as_without(of_counts, tmp_path):
    adata, model = of_counts
    pair, weights = np.array([[0, 2]]), np.array([[0.5], [0.0], [-3.0]])
    whole = Scorer.of(model.form.with_products(pair, weights), adata)
    whole.save(tmp_path / "whole.safetensors")
    found = score(new_cells(), Scorer.load(tmp_path / "whole.safetensors"))
    without = score(new_cells(), model)
    modules = [name for name in without if "_m" in name]
    np.testing.assert_allclose(found[modules], without[modules], atol=1e-6, rtol=1e-5)
    frequencies = ["freq_0", "freq_1", "freq_2"]
    added = (found[frequencies] - without[frequencies]).to_numpy()
    np.testing.assert_allclose(added, added[:, [0]] / 0.5 * weights.T, atol=1e-6, rtol=1e-4)
    assert np.abs(added[:, 0]).max() > 0.01


def test_a_form_refuses_genes_in_another_order(of_counts):
    run, model = of_counts
    np.testing.assert_array_equal(model.form.predict(run.X, run.var_names), model.form.predict(run.X))
    with pytest.raises(InputError, match="fitted to other genes, or in another order"):
        model.form.predict(run.X[:, ::-1], run.var_names[::-1])


@pytest.fixture
def folder(of_counts, tmp_path, monkeypatch):
    """Folder with a run, and new cells beside it, where the command line is started."""
    run, model = of_counts
    Run(tmp_path / "reports" / "x", "01_data").save(cells=run, facts={"data": "made up"})
    Run(tmp_path / "reports" / "x", "03_train").save(model=model)
    Run(tmp_path / "reports" / "x", "04_interpret", {"n_modules": 2}).save()
    new_cells().write_h5ad(tmp_path / "new.h5ad")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("out", ["new.scores.csv", "to/be made/scores.h5ad"])
def test_the_command_line_writes_scores(out, folder, of_counts, capsys):
    option = [] if out == "new.scores.csv" else ["--out", out]
    assert __main__.main(["score", "--run", "reports/x", "new.h5ad", *option]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == out and "of 50 cells" in said[0]
    expected = score(new_cells(), of_counts[1], n_modules=2)
    if out.endswith(".csv"):
        same(pd.read_csv(out, index_col="cell").rename_axis(None), expected)
    else:
        written = ad.read_h5ad(out)
        np.testing.assert_allclose(written.to_df().to_numpy(), expected.to_numpy(float), rtol=1e-5)
        assert list(written.var_names) == list(expected.columns) and list(written.obs) == ["cell_type"]
        assert list(written.uns["said"]) == said[:-1]


def test_what_was_taken_out_of_the_cells_of_the_run_alone_is_said(folder, capsys):
    Run(folder / "reports" / "x", "01_data", {"batch": "donor", "regress": ["total_counts", "age"]}).save()
    assert __main__.main(["score", "--run", "reports/x", "new.h5ad"]) == 0
    batches, covariates, _ = capsys.readouterr().out.splitlines()[-3:]
    assert "corrected for their batches (donor), these were not" in batches
    assert "what total_counts, age leave of expression and frequencies: of these cells nothing was" in covariates


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "reports/y", "new.h5ad"], "model.safetensors is missing; run 03_train.ipynb first"),
        (["--run", "reports/x", "nowhere.h5ad"], "nowhere.h5ad: no such file"),
        (["--run", "reports/x", "new.h5ad", "--layer", "nothing"], "new has no layer 'nothing'"),
        (["--run", "reports/x", "new.h5ad", "--out", "scores.txt"], "ends on .csv or .h5ad"),
        (["--run", "reports/x", "new.h5ad", "--out", "new.h5ad"], "name another file"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_one_line(arguments, message, folder, capsys):
    assert __main__.main(["score", *arguments]) == 2
    said = capsys.readouterr()
    assert not said.out and len(said.err.splitlines()) == 1 and message in said.err
    assert sorted(path.name for path in folder.iterdir() if path.name != "reports") == ["new.h5ad"]


def test_scores_can_be_drawn_beside_the_cells(of_counts):
    scores = score(new_cells(), of_counts[1])
    adata = as_cells(scores, new_cells().obs)
    assert adata.shape == scores.shape and adata.obs["cell_type"].cat.categories.tolist() == cases.TYPES
