from itertools import combinations

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
from scripts.reading import stability

GENES = [f"g{i}" for i in range(60)]


def form(vectors, values):
    """Form of given unit modules and eigenvalues, one frequency."""
    return BilinearForm(vectors, np.diag(values)[None], np.zeros((1, 60)), np.zeros(1), GENES)


@pytest.fixture
def vectors():
    return np.linalg.qr(np.random.default_rng(0).normal(size=(60, 3)))[0]


def test_the_same_modules_in_another_order_and_sign_agree_fully(vectors):
    first = form(vectors, [3.0, 2.0, 1.0])
    second = form(vectors * [-1, 1, -1], [1.9, 2.0, 1.8])
    np.testing.assert_allclose(stability.matched_jaccard(first.modules(3)[1], second.modules(3)[1]), 1)
    np.testing.assert_allclose(stability.subspace_cosines(first.modules(3)[1], second.modules(3)[1]), 1)


def test_matching_equals_trying_all_assignments(vectors):
    from itertools import permutations

    other = np.linalg.qr(vectors + 0.15 * np.random.default_rng(1).normal(size=(60, 3)))[0]
    a, b = stability.pole_sets(vectors, 10), stability.pole_sets(other, 10)
    best = max(permutations(range(3)), key=lambda p: sum(stability.pole_jaccard(a[i], b[p[i]]) for i in range(3)))
    np.testing.assert_array_equal(stability.match(a, b), best)


def test_jaccard_of_poles_is_sign_free():
    one = ({1, 2}, {3, 4})
    assert stability.pole_jaccard(one, ({3, 4}, {1, 2})) == 1
    assert stability.pole_jaccard(one, ({1, 5}, {6, 7})) == pytest.approx(1 / 6)


def test_subspaces_that_share_one_direction(vectors):
    other = np.linalg.qr(np.column_stack([vectors[:, 0], np.random.default_rng(3).normal(size=(60, 2))]))[0]
    cosines = stability.subspace_cosines(vectors[None], other[None])[0]
    assert cosines[0] == pytest.approx(1) and cosines[-1] < 0.6


def test_tables_are_means_over_pairs(vectors):
    random = np.random.default_rng(2)
    others = [form(np.linalg.qr(vectors + 0.1 * random.normal(size=(60, 3)))[0], [3.0, 2, 1]) for _ in range(3)]
    table = stability.agreement_table(others)
    expected = np.mean([a.agreement(b)[0] for a, b in combinations(others, 2)])
    assert table["agreement"].iloc[0] == pytest.approx(expected)
    each = stability.module_stability(others[0], others, n_modules=3)
    assert each.columns.tolist() == ["frequency", "module", "stability"] and len(each) == 3
    same = stability.module_stability(others[0], [others[0], others[0]], n_modules=3)
    np.testing.assert_allclose(same["stability"], 1)


def test_trusted_modules_are_needed_and_come_back():
    stable = pd.DataFrame(
        {"frequency": [0, 0, 1, 1], "module": [1, 2, 1, 2], "stability": [0.8, 0.3, 0.9, 0.9]},
    )
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
    seeds = stability.agreement_table([first.form(genes), *forms_of_seeds(cfg, "mse", splits[0], genes, 2)])
    assert seeds["first_module_jaccard"].mean() >= 0.85
    subsampled = forms_of_subsamples(BilinearRidge, splits[0], genes, 6)
    assert stability.agreement_table(subsampled)["first_module_jaccard"].mean() >= 0.65
