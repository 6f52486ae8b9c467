import numpy as np
import pytest
import scanpy as sc
from scipy.sparse import block_diag, csr_matrix
from sklearn.model_selection import train_test_split

from benchmarks.cells import branching_cells, shaped_cells
from scripts.graph import edges, eigensolvers, neighbors, spectrum
from scripts.graph.edges import adjacency
from scripts.measures import aligned_r2
from tests import reference


def test_graph_and_frequencies_equal_the_reference(pbmc):
    values, vectors, adjacency = reference.frequencies(pbmc.X, k=10, n_comps=5)
    np.testing.assert_array_equal(pbmc.obsp["connectivities"].toarray(), adjacency)
    np.testing.assert_allclose(pbmc.uns["freq_vals"], values, atol=1e-8)
    cosines = np.abs((pbmc.obsm["X_freq"] * vectors).sum(axis=0))
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


@pytest.mark.paul15
@pytest.mark.slow
def test_paul15_frequencies_equal_the_reference(paul15):
    adata = paul15[0]
    values, vectors, _ = reference.frequencies(adata.X, k=10, n_comps=5)
    np.testing.assert_allclose(adata.uns["freq_vals"], values, atol=1e-5)
    assert np.abs((adata.obsm["X_freq"] * vectors).sum(axis=0)).min() >= 0.999999


def test_frequencies_are_unit_vectors_and_the_same_each_time(pbmc):
    values, vectors = spectrum.frequencies(pbmc.obsp["connectivities"], 5)
    np.testing.assert_array_equal(vectors, pbmc.obsm["X_freq"])
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-8)
    assert ((vectors**3).sum(axis=0) > 0).all()
    assert (np.diff(values) >= 0).all()


def test_dirichlet_energy_of_a_frequency_is_its_eigenvalue(pbmc):
    energy = spectrum.dirichlet_energy(pbmc.obsm["X_freq"], pbmc.obsp["connectivities"])
    np.testing.assert_allclose(energy, pbmc.uns["freq_vals"], rtol=1e-6)


def test_sparse_and_dense_cells_give_the_same_graph(pbmc):
    X = np.where(pbmc.X > 1, pbmc.X, 0)
    dense, sparse = edges.knn_graph(X, 10), edges.knn_graph(csr_matrix(X), 10)
    assert abs(dense - sparse).sum() == 0


def test_approximate_search_finds_nearly_all_neighbours_each_time_the_same():
    X = branching_cells(20_000, n_components=20)
    exact = neighbors.nearest_neighbors(X, 10, "euclidean")
    found = neighbors.nearest_neighbors(X, 10, "euclidean", n_exact=1000)
    again = neighbors.nearest_neighbors(X, 10, "euclidean", n_exact=1000)
    true_recall = np.mean([np.isin(a, b).mean() for a, b in zip(exact.indices, found.indices, strict=True)])
    assert found.recall >= 0.98 and abs(found.recall - true_recall) < 0.005
    np.testing.assert_array_equal(found.indices, again.indices)
    assert not (found.indices == np.arange(20_000)[:, None]).any()
    with pytest.raises(ValueError, match="reduce them to components"):
        neighbors.nearest_neighbors(csr_matrix(X), 10, "euclidean", n_exact=1000)


def found_of(true, found):
    return np.mean([np.isin(a, b).mean() for a, b in zip(true.indices, found.indices, strict=True)])


def test_the_default_is_exact_for_few_cells_or_genes_and_close_to_it_beyond():
    X = branching_cells(12_000, n_components=20)
    assert neighbors.nearest_neighbors(X[:10_000], 5, "euclidean").recall == 1
    found, exact = (neighbors.nearest_neighbors(cells, 5, "euclidean") for cells in (X, csr_matrix(X)))
    assert exact.recall == 1 and found.lists is not None
    assert found.recall >= 0.99 and found_of(exact, found) >= 0.985


def test_where_lists_are_poor_codes_find_as_many_with_a_lower_recall_if_it_is_dear(monkeypatch):
    X = shaped_cells("noisy star", 6000)
    exact = neighbors.nearest_neighbors(X, 10, "euclidean")
    monkeypatch.setattr(neighbors, "N_SEARCHED", (4, 8))
    found = neighbors.nearest_neighbors(X, 10, "euclidean", n_exact=1000)
    again = neighbors.nearest_neighbors(X, 10, "euclidean", n_exact=1000)
    assert found.lists.points.shape == X.shape  # codes of features of zeros would take as long as others
    assert found.lists.coded and found.recall >= 0.99 and abs(found.recall - found_of(exact, found)) < 0.01
    np.testing.assert_array_equal(found.indices, again.indices)
    np.testing.assert_allclose(found.distances[:, 0], exact.distances[:, 0], rtol=0.1)
    monkeypatch.setattr(neighbors, "N_CHEAP", 1000)
    dear = neighbors.nearest_neighbors(X, 10, "euclidean", n_exact=1000)
    assert 0.95 <= dear.recall < 0.99 and dear.lists.n_compared < found.lists.n_compared
    monkeypatch.setattr(neighbors, "N_COMPARED", 600)
    least = neighbors.nearest_neighbors(X, 10, "euclidean", n_exact=1000)
    assert least.recall < 0.95 and least.lists.n_compared <= 600
    assert abs(least.recall - found_of(exact, least)) < 0.03


@pytest.mark.parametrize("of_many", ["CLOSE_RECALL", "LOWER_RECALL"])
def test_cells_with_too_few_others_in_their_lists_are_searched_exactly(monkeypatch, of_many):
    X = branching_cells(2000, n_components=20)
    exact = neighbors.nearest_neighbors(X, 200, "euclidean")
    monkeypatch.setattr(neighbors, "N_SEARCHED", (1,))  # of 88 lists, none of which holds 200 cells
    monkeypatch.setattr(neighbors, "SHARE_SEARCHED", (0,))  # of coded lists: one, too
    monkeypatch.setattr(neighbors, "N_CHEAP", 0)
    monkeypatch.setattr(neighbors, of_many, 0)
    found = neighbors.nearest_neighbors(X, 200, "euclidean", n_exact=1000)
    assert found.lists.coded == (of_many == "LOWER_RECALL")
    np.testing.assert_allclose(found.distances, exact.distances, rtol=1e-4)


@pytest.mark.parametrize(("shape", "coded"), [("tree", False), ("noisy star", True)])
def test_new_cells_enter_through_the_lists_nearly_as_among_all_pairs(monkeypatch, shape, coded):
    X = shaped_cells(shape, 5000)
    old, new = X[:3500], X[3500:]
    exact = neighbors.nearest_neighbors(old, 10, "euclidean")
    monkeypatch.setattr(neighbors, "N_SEARCHED", (16,) if not coded else (1,))
    found = neighbors.nearest_neighbors(old, 10, "euclidean", n_exact=1000)
    assert found.lists.coded == coded
    expected = neighbors.entered_neighbors(new, old, exact, "euclidean")
    edges = neighbors.entered_neighbors(new, old, found, "euclidean")
    both = edges.multiply(expected).sum()
    assert set(edges.data) == {1.0} and both / expected.sum() >= 0.98 and both / edges.sum() >= 0.98
    assert abs(edges - neighbors.entered_neighbors(new, old, found, "euclidean")).sum() == 0
    few = neighbors.entered_neighbors(new[:100], old, found, "euclidean")
    assert few.multiply(expected[:100]).sum() / expected[:100].sum() >= 0.99


def test_a_cell_far_out_is_entered_by_all_new_cells_within_its_reach(monkeypatch):
    random = np.random.default_rng(0)
    old = random.normal(size=(2000, 8)).astype(np.float32)
    old[0] = 30  # of great reach
    new = (30 + random.normal(size=(1500, 8))).astype(np.float32)
    found = neighbors.nearest_neighbors(old, 5, "euclidean", n_exact=1000)
    edges = neighbors.entered_neighbors(new, old, found, "euclidean")
    assert edges[:, [0]].sum() == 1500


def test_solvers_agree_with_dense_eigenvectors(pbmc):
    L = spectrum.laplacian(pbmc.obsp["connectivities"])
    trivial = np.full(700, 1 / np.sqrt(700))
    values, vectors, _ = reference.frequencies(pbmc.X, k=10, n_comps=5)
    for solve in (eigensolvers.shift_invert, eigensolvers.lanczos, eigensolvers.lobpcg):
        found, found_vectors = solve(L, 5, trivial, 1e-8)
        np.testing.assert_allclose(found, values, rtol=1e-6)
        np.testing.assert_allclose(np.abs((found_vectors * vectors).sum(axis=0)), 1, atol=1e-6)


def test_many_cells_start_from_groups_and_agree_with_the_factorised_laplacian():
    adjacency = edges.knn_graph(branching_cells(12_000, n_components=20), 10, "euclidean")
    L, trivial = spectrum.laplacian(adjacency), np.full(12_000, 1 / np.sqrt(12_000))
    values, vectors = eigensolvers.shift_invert(L, 5, trivial, 1e-3)
    found, found_vectors = eigensolvers.lobpcg(L, 5, trivial, 1e-3)
    np.testing.assert_allclose(found, values, rtol=1e-4)
    np.testing.assert_allclose(np.abs((found_vectors * vectors).sum(axis=0)), 1, atol=1e-3)
    assert eigensolvers.residuals(L, found, found_vectors).max() <= 1e-3
    again = eigensolvers.lobpcg(L, 5, trivial, 1e-3)[1]
    np.testing.assert_allclose(found_vectors, again, atol=1e-6)


def test_a_solver_that_fails_is_replaced_and_all_are_an_error(pbmc, monkeypatch):
    adjacency = pbmc.obsp["connectivities"]

    def wrong(L, n_comps, trivial, max_residual):
        return np.ones(n_comps), np.ones((len(trivial), n_comps))

    assert spectrum.frequencies_by(adjacency, 5)[2] == "shift-invert"
    for failing, next_one in (("shift_invert", "lanczos"), ("lanczos", "lobpcg")):
        monkeypatch.setattr(spectrum, failing, wrong)
        values, _, solver = spectrum.frequencies_by(adjacency, 5)
        assert solver == next_one
        np.testing.assert_allclose(values, pbmc.uns["freq_vals"], rtol=1e-5)
    monkeypatch.setattr(spectrum, "lobpcg", wrong)
    with pytest.raises(ValueError, match=r"did not converge: largest relative residual \d"):
        spectrum.frequencies(adjacency, 5)


@pytest.mark.parametrize(
    ("shape", "n_cells", "solver"),
    [("line", 3000, "shift-invert"), ("swiss roll", 3000, "shift-invert"), ("noisy star", 3000, "lanczos")],
)
def test_thin_graphs_are_factorised_and_others_iterated(shape, n_cells, solver):
    adjacency = edges.knn_graph(shaped_cells(shape, n_cells), 10, "euclidean")
    values, vectors, used = spectrum.frequencies_by(adjacency, 4)
    assert used == solver
    expected, expected_vectors = np.linalg.eigh(spectrum.laplacian(adjacency).toarray())
    np.testing.assert_allclose(values, expected[1:5], rtol=1e-8)
    np.testing.assert_allclose(np.abs((vectors * expected_vectors[:, 1:5]).sum(axis=0)), 1, atol=1e-8)
    np.testing.assert_allclose(spectrum.frequencies(adjacency, 4)[1], vectors, atol=1e-10)


def test_lanczos_gives_up_on_a_long_line_and_the_next_takes_over(monkeypatch):
    places = np.arange(4000.0)[:, None]
    adjacency = edges.knn_graph(places, 4, "euclidean")
    L, trivial = spectrum.laplacian(adjacency), np.full(4000, 4000**-0.5)
    assert np.isnan(eigensolvers.lanczos(L, 3, trivial, 1e-3)[0]).all()
    monkeypatch.setattr(spectrum, "solver_for", lambda L: "lanczos")
    values, _, used = spectrum.frequencies_by(adjacency, 3)
    assert used != "lanczos"
    np.testing.assert_allclose(values, eigensolvers.shift_invert(L, 3, trivial, 1e-3)[0], rtol=1e-3)


@pytest.mark.parametrize("normalized", [False, True])
def test_equal_eigenvalues_are_all_found_by_lanczos(normalized):
    arm = edges.knn_graph(np.random.default_rng(0).normal(size=(200, 10)), 8, "euclidean")
    star = block_diag([arm, arm, arm, arm, csr_matrix((1, 1))], format="lil")
    ends = np.concatenate([200 * number + np.arange(3) for number in range(4)])
    star[800, ends] = star[ends, 800] = 1
    L = spectrum.laplacian(csr_matrix(star), normalized)
    expected = np.linalg.eigh(L.toarray())[0]
    root = np.sqrt(np.asarray(star.sum(axis=1)).ravel()) if normalized else np.ones(801)
    values, vectors = eigensolvers.lanczos(L, 5, root / np.linalg.norm(root), 1e-3)
    np.testing.assert_allclose(values, expected[1:6], atol=1e-8)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-8)


def test_the_band_of_a_shuffled_line_is_narrow():
    order = np.random.default_rng(0).permutation(300)
    line = csr_matrix(spectrum.laplacian(edges.knn_graph(order[:, None].astype(float), 2, "euclidean")))
    widths = eigensolvers.band_widths(line)
    assert len(widths) == 300 and widths.max() <= 4 and widths.min() == 0


def test_normalised_laplacian_equals_the_dense_one(pbmc):
    adjacency = pbmc.obsp["connectivities"].toarray()
    root = 1 / np.sqrt(adjacency.sum(axis=1))
    dense = np.linalg.eigvalsh(np.eye(700) - root[:, None] * adjacency * root)
    values, vectors = spectrum.frequencies(pbmc.obsp["connectivities"], 5, normalized=True)
    np.testing.assert_allclose(values, dense[1:6], atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), 1)


@pytest.mark.slow
def test_weighted_graphs_follow_their_formulas(pbmc):
    found = neighbors.nearest_neighbors(pbmc.X, 10)
    plain = edges.adjacency(found)
    gaussian = edges.adjacency(found, "gaussian")
    assert ((gaussian > 0) != (plain > 0)).nnz == 0
    i, j = 0, found.indices[0, 3]
    unit = pbmc.X / np.linalg.norm(pbmc.X, axis=1, keepdims=True)
    squared = ((unit[i] - unit[j]) ** 2).sum()
    expected = np.exp(-squared / (found.distances[i, -1] * found.distances[j, -1]))
    assert gaussian[i, j] == pytest.approx(expected, rel=1e-3)
    fuzzy = edges.adjacency(found, "fuzzy")
    sc.pp.neighbors(pbmc_copy := pbmc.copy(), n_neighbors=11, metric="cosine", use_rep="X", key_added="scanpy")
    scanpy_graph = pbmc_copy.obsp["scanpy_connectivities"]
    assert fuzzy.nnz == pytest.approx(scanpy_graph.nnz, rel=0.02)
    assert abs(fuzzy - fuzzy.T).max() < 1e-6 and fuzzy.diagonal().sum() == 0
    with pytest.raises(ValueError, match="weights='some'"):
        edges.adjacency(found, "some")


def test_extension_and_its_edges_equal_the_reference(pbmc):
    X, new = pbmc.X[:560], pbmc.X[560:]
    found = neighbors.nearest_neighbors(X, 10)
    edges = neighbors.entered_neighbors(new, X, found)
    expected = reference.entered(new, X, 10)
    assert (edges.toarray() != expected).mean() < 1e-5  # ties in float32
    values, vectors = spectrum.frequencies(adjacency(found), 3)
    np.testing.assert_allclose(
        spectrum.extend(edges, values, vectors), reference.extend(edges.toarray(), values, vectors)
    )


@pytest.mark.paul15
@pytest.mark.slow
def test_frequencies_of_held_out_cells_are_those_of_the_full_graph(paul15):
    adata = paul15[0]
    scores = []
    for seed in range(4):
        kept, held_out = train_test_split(np.arange(adata.n_obs), test_size=0.2, random_state=seed)
        X = adata.X[kept]
        found = neighbors.nearest_neighbors(X, 10)
        values, vectors = spectrum.frequencies(edges.adjacency(found), 5)
        extended = spectrum.extend(neighbors.entered_neighbors(adata.X[held_out], X, found), values, vectors)
        scores.append(aligned_r2(adata.obsm["X_freq"][held_out], extended))
    assert np.mean(scores, axis=0).min() >= 0.94


def test_near_equal_eigenvalues_and_gaps_are_reported():
    values = np.array([0.1, 0.5, 0.505, 0.51, 2.0])
    assert spectrum.near_equal_groups(values) == [[1, 2, 3]]
    assert spectrum.suggest_n_comps(values) == 1
    assert spectrum.suggest_n_comps(np.array([0.1, 0.12, 0.9])) == 2


def test_cells_that_cannot_be_placed_are_named():
    X = np.random.default_rng(0).normal(size=(400, 5))
    X[3] = 0
    with pytest.raises(ValueError, match="1 cells are zero everywhere"):
        edges.knn_graph(X, 5)
    edges.knn_graph(X, 5, metric="euclidean")
    X[:300] = 1.0
    for metric in ("cosine", "euclidean"):
        with pytest.raises(ValueError, match="300 cells are identical.*remove duplicated cells"):
            edges.knn_graph(X, 5, metric=metric)
    with pytest.raises(ValueError, match="metric='manhattan'"):
        edges.knn_graph(X, 5, metric="manhattan")
    alone = np.zeros((5, 5))
    alone[:4, :4] = 1 - np.eye(4)
    with pytest.raises(ValueError, match="2 parts of 4, 1 cells"):
        spectrum.frequencies(csr_matrix(alone), 2)


def test_bad_input_is_named():
    X = np.random.default_rng(0).normal(size=(12, 3))
    for k in (0, 12, 20):
        with pytest.raises(ValueError, match=f"k_neighbors={k} is not possible with 12 cells"):
            edges.knn_graph(X, k)
    adjacency = edges.knn_graph(X, 6)
    for n_comps in (0, 11):
        with pytest.raises(ValueError, match=f"n_freq_comps={n_comps} is not possible"):
            spectrum.frequencies(adjacency, n_comps)
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        edges.knn_graph(X, 3)
