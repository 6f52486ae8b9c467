from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest

from scripts.bmlp import Config, ScBMLPRegressor
from scripts.cells import splits
from scripts.cells.splits import ALL_CELLS, transductive_split
from scripts.evaluation.performance import forms_of_seeds, forms_of_subsamples
from scripts.models.form import BilinearForm
from scripts.models.ridge import BilinearRidge
from scripts.parallel import side_by_side
from scripts.reading import patterns, patterns_of_subsamples, stability
from tests import reference

GENES = [f"g{i}" for i in range(60)]


def form(vectors, values):
    """Form of given unit modules and eigenvalues, one frequency."""
    return BilinearForm(vectors, np.diag(values)[None], np.zeros((1, 60)), np.zeros(1), GENES)


@pytest.fixture
def vectors():
    return np.linalg.qr(np.random.default_rng(0).normal(size=(60, 3)))[0]


def test_the_same_modules_in_another_order_and_sign_agree_fully(vectors):
    turned = vectors[:, [2, 0, 1]] * [-1, 1, -1]
    np.testing.assert_allclose(stability.partner_jaccards(vectors[None], turned[None]), 1)
    np.testing.assert_allclose(stability.subspace_cosines(vectors[None], turned[None]), 1)


def test_partners_are_the_best_of_all_frequencies_and_equal_the_sets(vectors):
    random = np.random.default_rng(1)
    vectors[5:, 2] = 0  # fewer genes than a pole has room for
    own, others = vectors.T[:, :, None], vectors + 0.15 * random.normal(size=(4, 60, 3))
    both, positive = stability.pole_jaccards(vectors, np.hstack(list(others)), 10)
    expected = [[reference.pole_jaccard(a, b, 10) for b in np.hstack(list(others)).T] for a in vectors.T]
    np.testing.assert_allclose(both, expected)
    assert (positive <= 1).all() and (positive > both).any() and (positive < both).any()
    found = stability.partner_jaccards(own, others)  # three frequencies of one module, and four of three
    expected = [max(reference.pole_jaccard(a, b, 25) for b in np.hstack(list(others)).T) for a in vectors.T]
    np.testing.assert_allclose(found[:, 0], expected)
    none = np.zeros((60, 1))
    assert stability.pole_jaccards(none, none)[0] == 0


def test_subspaces_that_share_one_direction(vectors):
    other = np.linalg.qr(np.column_stack([vectors[:, 0], np.random.default_rng(3).normal(size=(60, 2))]))[0]
    cosines = stability.subspace_cosines(vectors[None], other[None])[0]
    assert cosines[0] == pytest.approx(1) and cosines[-1] < 0.6


def test_tables_are_means_over_pairs(vectors):
    random = np.random.default_rng(2)
    others = [form(np.linalg.qr(vectors + 0.1 * random.normal(size=(60, 3)))[0], [3.0, 2, 1]) for _ in range(3)]
    loadings = [fit.modules(3)[1] for fit in others]
    table = stability.agreement_table(others, loadings)
    expected = np.mean([a.agreement(b)[0] for a, b in combinations(others, 2)])
    assert table["agreement"].iloc[0] == pytest.approx(expected)
    expected = np.mean([stability.partner_jaccards(a, b)[0, 0] for a, b in permutations(loadings, 2)])
    assert table["first_module_jaccard"].iloc[0] == pytest.approx(expected)


def test_stability_is_the_mean_over_fits_and_chance_what_random_axes_stay_below(vectors):
    random = np.random.default_rng(2)
    own, by_chance = vectors[None], random.normal(size=(1, 60, 4000))
    fits = [np.linalg.qr(vectors + 0.1 * random.normal(size=(60, 3)))[0][None] for _ in range(3)]
    table = stability.module_stability(own, fits, [own], by_chance)
    assert list(table) == ["frequency", "module", "stability", "chance", "stability_anew", "chance_anew"]
    expected = np.mean([stability.partner_jaccards(own, fit)[0] for fit in fits], axis=0)
    np.testing.assert_allclose(table["stability"], expected)
    np.testing.assert_allclose(table["stability_anew"], 1)
    of_random = np.mean([stability.partner_jaccards(by_chance, fit)[0] for fit in fits], axis=0)
    assert 0.015 <= (of_random > table["chance"].iloc[0]).mean() <= 0.018 and table["chance"].nunique() == 1
    unknown = stability.module_stability(own, fits, [], by_chance)
    assert unknown[["stability_anew", "chance_anew"]].isna().all(axis=None)


def test_trusted_modules_are_needed_and_come_back():
    stable = pd.DataFrame(
        {"frequency": [0, 0, 1, 1], "module": [1, 2, 1, 2], "stability": [0.8, 0.3, 0.9, 0.9]},
    ).assign(chance=0.2, stability_anew=0.7, chance_anew=0.3)
    curve = pd.DataFrame(
        {
            "frequency": [0, 0, 0, 1, 1, 1],
            "n_modules": [0, 1, 2, 0, 1, 2],
            "val_r2": [0.5, 0.7, 0.8, 0.8, 0.801, 0.79],
            "test_r2": 0.0,
        }
    )
    table = stability.trusted_modules(stable, curve)
    assert table["needed"].tolist() == [True, True, False, False]
    assert table["trusted"].tolist() == [True, False, False, False] and table["judged"].all()
    for column in ("stability_anew", "chance", "chance_anew"):
        doubtful = {"stability_anew": 0.49, "chance": 0.81, "chance_anew": 0.71}[column]
        assert not stability.trusted_modules(stable.assign(**{column: doubtful}), curve)["trusted"].any()
    unknown = stability.trusted_modules(stable.assign(stability_anew=np.nan, chance_anew=np.nan), curve)
    assert unknown["trusted"].tolist() == [True, False, False, False]
    missed = stability.trusted_modules(stable, curve.assign(val_r2=curve["val_r2"] - 0.71))
    assert not missed["needed"].any() and missed["judged"].all() and not missed["predicted"][:2].any()
    lacking = stability.trusted_modules(stable, curve, without_structure=[0])
    assert not lacking["trusted"].any() and lacking["structure"].tolist() == [False, False, True, True]
    unjudged = stability.trusted_modules(stable, curve.assign(val_r2=curve["val_r2"].where(curve["frequency"] == 1)))
    assert unjudged["judged"].tolist() == [False, False, True, True] and not unjudged["trusted"].any()


def test_subsamples_are_seeded_and_of_their_share():
    cells = splits.CellDataset(np.zeros((100, 2)), np.zeros((100, 1)))
    first, second = splits.subsamples(cells, 2)
    assert len(first) == 80 == len(set(first)) and not np.array_equal(first, second)
    np.testing.assert_array_equal(first, splits.subsamples(cells, 2)[0])
    with pytest.raises(ValueError, match="n_subsamples=1"):
        splits.subsamples(cells, 1)


@pytest.mark.paul15
@pytest.mark.slow
def test_paul15_generalises_and_agrees_with_itself(paul15):
    """Bounds of the project, mean over five frequencies: R2 over 5 splits; poles of first modules between fits."""
    adata = paul15[0]
    genes = list(adata.var_names)
    splits = [transductive_split(adata, 0, number) for number in range(5)]
    assert all(split.protocol == ALL_CELLS for split in splits)
    cfg = Config(d_input=adata.n_vars, d_hidden=64, d_output=5)

    def held_out_r2(make):
        def judge(split):
            model = make()
            model.fit(split.train, split.val)
            X, y = split.test.arrays()
            return (1 - ((y - model.predict(X)) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)).mean()

        return np.mean(side_by_side(judge, splits))

    assert held_out_r2(BilinearRidge) >= 0.86
    assert held_out_r2(lambda: ScBMLPRegressor(cfg)) >= 0.86
    first = ScBMLPRegressor(cfg)
    first.fit(splits[0].train, splits[0].val)
    X, _ = splits[0].train.arrays()
    forms = [first.form(genes), *forms_of_seeds(cfg, "mse", splits[0], genes, 2)]
    seeds = stability.agreement_table(forms, [patterns(form, X) for form in forms])
    assert seeds["first_module_jaccard"].mean() >= 0.85
    subsampled = forms_of_subsamples(BilinearRidge, splits[0], genes, 6)
    of_subsamples = patterns_of_subsamples(subsampled, splits[0].train)
    assert stability.agreement_table(subsampled, of_subsamples)["first_module_jaccard"].mean() >= 0.65
