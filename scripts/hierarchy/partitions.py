"""Clusters at several levels: whether finer ones are nested in coarser ones, and which spaces give the same."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import igraph
import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from threadpoolctl import threadpool_limits

from scripts import graph
from scripts.hierarchy.spaces import FREQUENCIES, MIN_CLUSTER, CellSpaces, HierarchySettings

WARD, LEIDEN, K_MEANS = "Ward", "Leiden", "k-means"
NESTED, DIVIDED, KNOWN_LABELS = "nestedness", "variance in one cluster", "known labels"
SHARE, MAX_FITTED = 0.8, 1_000  # of the cells that each k-means is fitted to; all are assigned
N_NEIGHBORS = 15  # of the graph that Leiden divides
RESOLUTIONS = tuple(np.geomspace(0.02, 6, 12).tolist())  # of Leiden's modularity: a few clusters to some fifty
ALPHA = 0.05  # p below which cells are more nested than a Gaussian
COLUMNS = [
    *("measure", "method", "space", "against", "n_clusters", "n_coarse", "frequency"),
    *("value", "value_sd", "chance", "chance_sd", "p_value"),
]


@dataclass(frozen=True)
class Clusters:
    """Clusters of the cells at each level of a ladder, in each space.

    Attributes
    ----------
    ward : {space: {number: (n_cells,) int}}
        Cut from Ward's tree, where finer clusters are nested in coarser ones by construction.
    leiden : {space: {number: (n_cells,) int}}
        Of the resolution whose number of clusters is nearest.
    k_means : {space: {number: (n_repeats, n_cells) int}}
        Each level on its own.
    gaussian : {space: {number: (n_repeats, n_cells) int}}
        The same of as many points of a Gaussian of the same covariance, drawn anew each time.
    """

    ward: dict[str, dict[int, np.ndarray]]
    leiden: dict[str, dict[int, np.ndarray]]
    k_means: dict[str, dict[int, np.ndarray]]
    gaussian: dict[str, dict[int, np.ndarray]]


def clusters_of(spaces: CellSpaces, settings: HierarchySettings) -> Clusters:
    """Cluster the cells in all spaces; Ward's tree is also cut into as many clusters as there are known labels."""
    known = [int(spaces.labels.nunique())] if spaces.has_labels else []
    levels = sorted({*spaces.numbers, *known})
    with threadpool_limits(1):  # small matrices: threads would only wait for each other
        ward = {
            name: ward_clusters(points, levels) for name, points in (spaces.coordinates | spaces.cumulative).items()
        }
        leiden = {name: leiden_clusters(points, levels) for name, points in spaces.coordinates.items()}
        k_means, gaussian = (
            {
                name: repeated_k_means(points, spaces.numbers, settings.n_repeats, settings.random_state, is_gaussian)
                for name, points in spaces.coordinates.items()
            }
            for is_gaussian in (False, True)
        )
    return Clusters(ward, leiden, k_means, gaussian)


def ward_clusters(points: np.ndarray, numbers: Iterable[int]) -> dict[int, np.ndarray]:
    """Ward's tree (JASA 58, 236, 1963), cut into some numbers of clusters; points : (n_cells, n_dimensions)."""
    tree = linkage(points, "ward")
    return {number: fcluster(tree, number, "maxclust") - 1 for number in numbers}


def leiden_clusters(points: np.ndarray, numbers: Iterable[int], random_state: int = 0) -> dict[int, np.ndarray]:
    """Leiden's clusters (Traag, Waltman & van Eck, Scientific Reports 9, 5233, 2019) of a graph of nearest neighbours.

    Their number is not set but by the resolution of the modularity: for each number asked, the nearest of those that a
    ladder of resolutions gives. points : (n_cells, n_dimensions); n_neighbors as in scanpy, but for fewer cells.
    """
    found = graph.nearest_neighbors(points, min(N_NEIGHBORS, len(points) - 1), "euclidean")
    edges = np.argwhere(np.triu(graph.adjacency(found).toarray()) > 0)
    network = igraph.Graph(len(points), edges)
    igraph.set_random_number_generator(random.Random(random_state))
    divided = [
        np.array(network.community_leiden("modularity", resolution=resolution, n_iterations=2).membership)
        for resolution in RESOLUTIONS
    ]
    return {number: min(divided, key=lambda each: abs(int(each.max()) + 1 - number)) for number in numbers}


def repeated_k_means(
    points: np.ndarray, numbers: Sequence[int], n_repeats: int, random_state: int = 0, is_gaussian: bool = False
) -> dict[int, np.ndarray]:
    """k-means at each level on its own, each time fitted to other cells from another start.

    Parameters
    ----------
    points : (n_cells, n_dimensions)
    numbers : of clusters
    n_repeats : int
    random_state : int
        The same draws the same cells in any space.
    is_gaussian : bool
        Replace the points by others of a Gaussian of the same mean and covariance, new ones each time.

    Returns
    -------
    {number: (n_repeats, n_cells) int}
    """
    n_cells, draw = len(points), gaussian_like(points)
    found = {number: np.empty((n_repeats, n_cells), int) for number in numbers}
    for repeat in range(n_repeats):
        random = np.random.default_rng([random_state, repeat])
        rows = random.permutation(n_cells)[: min(round(SHARE * n_cells), MAX_FITTED)]
        drawn = draw(random) if is_gaussian else points
        for number in numbers:
            model = KMeans(number, n_init=1, random_state=random_state + repeat).fit(drawn[rows])
            found[number][repeat] = model.predict(drawn)
    return found


def gaussian_like(points: np.ndarray) -> Callable[[np.random.Generator], np.ndarray]:
    """What draws as many points of a Gaussian of the same mean and covariance; points : (n_cells, n_dimensions)."""
    mean = points.mean(axis=0)
    _, sizes, axes = np.linalg.svd(points - mean, full_matrices=False)
    root = axes * sizes[:, None] / np.sqrt(len(points) - 1)
    return lambda random: mean + random.standard_normal((len(points), len(root))) @ root


def nestedness(fine: np.ndarray, coarse: np.ndarray) -> float:
    """Share of the cells that lie in the coarse cluster which most cells of their fine cluster lie in.

    The purity of the fine clusters, with the coarse ones as classes (Manning, Raghavan & Schütze, Introduction to
    Information Retrieval, 2008, section 16.3): 1 where every fine cluster lies in one coarse one.

    fine, coarse : (n_cells,) int.
    """
    return float(contingency_matrix(fine, coarse).max(axis=1).sum() / len(fine))


def nestedness_table(clusters: Clusters) -> pd.DataFrame:
    """How far the clusters of each level lie in those of the level above, beside a Gaussian, which has no levels.

    Returns the columns of `COLUMNS`: value and value_sd over repeats, chance and chance_sd those of the Gaussian,
    p_value the share of Gaussians that are nested as much as the cells on average (counting the cells themselves).
    """
    rows = []
    for space, levels in clusters.k_means.items():
        for coarse, fine in pairwise(levels):
            found, null = (
                np.array([nestedness(*each) for each in zip(of[space][fine], of[space][coarse], strict=True)])
                for of in (clusters.k_means, clusters.gaussian)
            )
            p_value = (1 + (null >= found.mean()).sum()) / (1 + len(null))
            spread = {"value_sd": found.std(ddof=1), "chance": null.mean(), "chance_sd": null.std(ddof=1)}
            level = {"space": space, "n_clusters": fine, "n_coarse": coarse, "value": found.mean()}
            rows.append({"measure": NESTED, "method": K_MEANS, **level, **spread, "p_value": p_value})
    return _table(rows)


def is_nested(table: pd.DataFrame) -> pd.Series:
    """Whether clusters are nested more than those of a Gaussian, (n_rows,) bool; table : as from `nestedness_table`."""
    return table["p_value"] <= ALPHA


def divided_by_further(frequencies: np.ndarray, n_repeats: int, random_state: int = 0) -> pd.DataFrame:
    """Whether each further frequency divides one cluster of those that the frequencies before it give.

    f frequencies tell f + 1 clusters apart (k-means). What varies of the next one within them lies, where the
    frequencies follow a tree, in the one cluster that it divides. value : the share of the within-cluster sum of
    squares in that cluster; chance : the share of the cells in it, which is what a frequency that knows no clusters
    would have there on average. frequencies : (n_cells, n_freq).
    """
    rows = []
    with threadpool_limits(1):
        for f in range(1, min(frequencies.shape[1], len(frequencies) // MIN_CLUSTER)):
            found = repeated_k_means(frequencies[:, :f], [f + 1], n_repeats, random_state)[f + 1]
            shares, sizes = np.array([_in_one_cluster(frequencies[:, f], each) for each in found]).T
            spread = {"value_sd": shares.std(ddof=1), "chance": sizes.mean(), "chance_sd": sizes.std(ddof=1)}
            level = {"space": FREQUENCIES, "n_clusters": f + 1, "frequency": f, "value": shares.mean()}
            rows.append({"measure": DIVIDED, "method": K_MEANS, **level, **spread})
    return _table(rows)


def _in_one_cluster(values: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Largest share of the within-cluster sum of squares that one cluster has, and its share of the cells."""
    sizes = np.bincount(clusters)
    mean = np.bincount(clusters, values) / np.maximum(sizes, 1)
    within = np.bincount(clusters, (values - mean[clusters]) ** 2)
    largest = within.argmax()
    return within[largest] / (within.sum() or np.nan), sizes[largest] / sizes.sum()


def agreement_with_spaces(clusters: Clusters) -> pd.DataFrame:
    """Whether two spaces give the same clusters: the adjusted Rand index (Hubert & Arabie, J. Classif. 2, 193, 1985).

    Chance is 0. By Ward and Leiden, of all spaces with each other. By k-means, of each space with the frequencies,
    clusters of one draw of the cells with those of the next, so that frequencies with themselves are what equal spaces
    would give.
    """
    main = list(clusters.k_means)
    pairs = [*combinations(main, 2), *((FREQUENCIES, name) for name in clusters.ward if name not in main)]
    rows = []
    for method, of in ((WARD, clusters.ward), (LEIDEN, clusters.leiden)):
        for a, b in pairs:
            for number, found in of[a].items() if b in of else ():
                level = {"method": method, "space": b, "against": a, "n_clusters": number}
                rows.append({"measure": "ARI", **level, "value": adjusted_rand_score(found, of[b][number])})
    for space, levels in clusters.k_means.items():
        for number, found in levels.items():
            again = np.roll(clusters.k_means[FREQUENCIES][number], 1, axis=0)
            scores = [adjusted_rand_score(*each) for each in zip(again, found, strict=True)]
            level = {"method": K_MEANS, "space": space, "against": FREQUENCIES, "n_clusters": number}
            rows.append({"measure": "ARI", **level, "value": np.mean(scores), "value_sd": np.std(scores, ddof=1)})
    return _table(rows).assign(chance=0.0)


def agreement_with_labels(clusters: Clusters, spaces: CellSpaces) -> pd.DataFrame:
    """Whether Ward's and Leiden's clusters are the known labels, over the cells that have one.

    By adjusted Rand index and adjusted mutual information (Vinh, Epps & Bailey, JMLR 11, 2837, 2010); no rows where
    there are not two labels.
    """
    rows = []
    known = spaces.labels.notna().to_numpy()
    cuts = [
        (method, space, number, found)
        for method, of in ((WARD, clusters.ward), (LEIDEN, clusters.leiden))
        for space, levels in of.items()
        for number, found in levels.items()
    ]
    for method, space, number, found in cuts if spaces.has_labels else ():
        both = spaces.labels.cat.codes.to_numpy()[known], found[known]
        level = {"method": method, "space": space, "against": KNOWN_LABELS, "n_clusters": number}
        rows.append({"measure": "ARI", **level, "value": adjusted_rand_score(*both)})
        rows.append({"measure": "AMI", **level, "value": adjusted_mutual_info_score(*both)})
    return _table(rows).assign(chance=0.0)


def _table(rows: list) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=COLUMNS)
    numbers = ["n_clusters", "n_coarse", "frequency"]
    return table.astype({name: "Int64" for name in numbers} | {name: float for name in COLUMNS[7:]})
