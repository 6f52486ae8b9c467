"""Planted truth: counts of cells on a branching tree, with known genes and gene pairs that tell branches apart.

And targets made for cells as they are, of their own genes: with known pairs, and without any.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scripts.blocks import Matrix, Standard, dense, share_shown, variation
from scripts.errors import InputError
from scripts.graph import frequencies, knn_graph, largest_part

TREE = {"trunk": "", "A": "trunk", "B": "trunk", "A1": "A", "A2": "A"}  # branch -> its parent
BRANCHES = tuple(TREE)
SPLIT = ("A1", "A2")  # the branches whose difference moves from single genes into pairs
NULLS = ("linear", "hinges", "link", "linear and smooth", "smooth", "structureless", "shuffled")  # without any pair
NULL_GENES, NULL_R2 = 30, 0.8  # of null targets that genes make: how many genes do, and the share they explain
SMOOTH_STEPS = 50  # of a random walk on the graph, that make a field of noise smooth
REST_SPREAD = 0.5  # standard deviation of the logarithm of the genes' counts at rest


@dataclass(frozen=True)
class Planting:
    """Settings of the planted cells."""

    n_cells: int = 1000  # cells, spread evenly over the five branches of the tree
    n_program: int = 6  # measured genes of each branch's program
    n_hidden: int = 12  # further genes of each program, which make the graph and which no model sees
    n_pairs: int = 10  # gene pairs whose product, not either gene alone, tells the branches A1 and A2 apart
    n_noise: int = 60  # genes that are on and off at random
    interaction: float = 1.0  # share of the difference between A1 and A2 that lies in the pairs: 0 none, 1 all
    mean_count: float = 4.0  # typical count of a gene at rest
    fold: float = 6.0  # counts of a gene that is on, or of a program at the end of its branch, over those at rest
    dispersion: float = 0.2  # of the negative binomial: variance = mean + dispersion mean^2
    dropout: float = 0.1  # share of the counts that are lost to zero
    library_sd: float = 0.3  # standard deviation of the logarithm of the cells' library sizes
    k_neighbors: int = 15  # neighbours of each cell in the graph on the hidden genes
    n_freq: int = 3  # frequencies of that graph, the targets
    random_state: int = 0  # seed of everything

    def __post_init__(self):
        for name in ("n_cells", "n_program", "n_hidden", "n_pairs", "n_noise"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} is not possible: it must be at least 1")
        for name in ("mean_count", "fold", "dispersion"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)} is not possible: it must be greater than 0")
        if not 0 <= self.interaction <= 1:
            raise InputError(f"interaction={self.interaction} is not possible: it must be 0 to 1")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout={self.dropout} is not possible: it must be at least 0 and below 1")
        if not self.library_sd >= 0:
            raise InputError(f"library_sd={self.library_sd} is not possible: it must be at least 0")


@dataclass(frozen=True)
class PlantedCells:
    """Cells and what was planted in them.

    Attributes
    ----------
    counts : (n_cells, n_genes) int
        Of the measured genes.
    X : (n_cells, n_genes) float32
        The same, to the median library, log(1 + x), each gene to mean 0 and standard deviation 1: what models see.
    y : (n_cells, n_freq) float64
        Frequencies of the graph on the hidden genes.
    freq_vals : (n_freq,) float64
    genes : list of str
    role : (n_genes,) str
        "program A1" and so on, "pair" or "noise".
    pairs : (n_pairs, 2) int
        The planted pairs, as columns of X.
    branch : (n_cells,) str
    """

    counts: np.ndarray
    X: np.ndarray
    y: np.ndarray
    freq_vals: np.ndarray
    genes: list[str]
    role: np.ndarray
    pairs: np.ndarray
    branch: np.ndarray

    @property
    def contrast(self) -> np.ndarray:
        """Weights of the frequencies whose sum best tells A1 from A2, (1, n_freq).

        The projection of the branches' contrast (1 in A1, -1 in A2, else 0) on the frequencies, so that nothing hangs
        on how near-equal frequencies happen to be rotated; the same for every method.
        """
        return (_toward(self.branch) @ (self.y - self.y.mean(axis=0)))[None]

    @property
    def silent(self) -> np.ndarray:
        """Genes that carry no signal alone, whatever the settings: of the pairs and the noise; (n_genes,) bool."""
        return np.isin(self.role, ["pair", "noise"])

    @property
    def split_program(self) -> np.ndarray:
        """Genes of the programs of A1 and A2, (n_genes,) bool."""
        return np.isin(self.role, [f"program {name}" for name in SPLIT])


def plant(settings: Planting) -> PlantedCells:
    """Cells on the tree, with the frequencies of a graph that the models do not see.

    Every branch has a program of genes that rise along it and stay high in its daughters. The genes of a pair are on in
    half of the cells of every branch; in A1 both tend to be in the same state and in A2 in opposite ones, in all other
    branches they are independent. `interaction` takes the programs of A1 and A2 away as it brings the pairs in. Hidden
    genes of the same programs, at full strength always, make the graph.

    Raises
    ------
    InputError
        If the graph on the hidden genes falls into parts.
    """
    random = np.random.default_rng(settings.random_state)
    place = random.permutation(np.arange(settings.n_cells) % len(BRANCHES))
    branch = np.array(BRANCHES)[place]
    program = _program_activity(place, random.random(settings.n_cells))
    strength = np.where(np.isin(BRANCHES, SPLIT), 1 - settings.interaction, 1)
    noise = random.random((settings.n_cells, settings.n_noise)) < 0.5
    activity = [
        np.repeat(program * strength, settings.n_program, axis=1),
        *_paired_states(_toward(branch), settings, random),
        noise,
        np.repeat(program, settings.n_hidden, axis=1),
    ]
    counts = _counts(np.concatenate(activity, axis=1), settings, random)
    n_programs, n_pairs = len(BRANCHES) * settings.n_program, settings.n_pairs
    n_genes = n_programs + 2 * n_pairs + settings.n_noise
    graph = knn_graph(normalised(counts[:, n_genes:]), settings.k_neighbors)
    freq_vals, y = frequencies(graph, settings.n_freq)
    role = np.repeat(
        [*(f"program {name}" for name in BRANCHES), "pair", "noise"],
        [settings.n_program] * len(BRANCHES) + [2 * n_pairs, settings.n_noise],
    )
    first = n_programs + np.arange(n_pairs)
    genes = [f"{kind.replace(' ', '-')}-{i}" for i, kind in enumerate(role)]
    seen = counts[:, :n_genes]
    pairs = np.stack([first, first + n_pairs], axis=1)
    return PlantedCells(seen, normalised(seen), y, freq_vals, genes, role, pairs, branch)


def normalised(counts: np.ndarray) -> np.ndarray:
    """Counts to the median library, log(1 + x), each gene to mean 0 and standard deviation 1; (n_cells, n_genes)."""
    total = counts.sum(axis=1, keepdims=True)
    X = np.log1p(counts / np.maximum(total, 1) * np.median(total))
    return dense(Standard.of(X).scaled(X)).astype(np.float32)


def _toward(branch: np.ndarray) -> np.ndarray:
    """1 in the cells of A1, -1 in those of A2, else 0; (n_cells,)."""
    return (branch == SPLIT[0]).astype(float) - (branch == SPLIT[1])


def _program_activity(place: np.ndarray, position: np.ndarray) -> np.ndarray:
    """How active each branch's program is in each cell, 0 to 1; place : (n_cells,) number of the cell's branch."""
    activity = np.zeros((len(place), len(BRANCHES)))
    activity[np.arange(len(place)), place] = position
    for own, name in enumerate(BRANCHES):
        while name := TREE[name]:
            activity[place == own, BRANCHES.index(name)] = 1
    return activity


def _paired_states(
    toward: np.ndarray, settings: Planting, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """On and off of the first and the second gene of each pair, (n_cells, n_pairs) bool each: half on everywhere."""
    first, chance = random.random((2, len(toward), settings.n_pairs))
    agree = chance < (1 + settings.interaction * toward[:, None]) / 2
    return first < 0.5, (first < 0.5) == agree


def _counts(activity: np.ndarray, settings: Planting, random: np.random.Generator) -> np.ndarray:
    """Negative binomial counts with library sizes and dropout; activity : (n_cells, n_genes), 0 at rest to 1."""
    n_cells, n_genes = activity.shape
    rest = settings.mean_count * np.exp(REST_SPREAD * random.normal(size=n_genes))
    library = np.exp(settings.library_sd * random.normal(size=(n_cells, 1)))
    mean = rest * settings.fold**activity * library
    # a Poisson whose mean is gamma distributed is a negative binomial
    counts = random.poisson(mean * random.gamma(1 / settings.dispersion, settings.dispersion, mean.shape))
    return np.where(random.random(mean.shape) < settings.dropout, 0, counts)


def with_pairs(
    X: Matrix, y: np.ndarray, n_pairs: int, share: float, random_state: int = 0, least_cells: float = 0.25
) -> tuple[np.ndarray, np.ndarray]:
    """Targets to which products of the cells' own genes are added.

    Parameters
    ----------
    X : (n_cells, n_genes)
        Dense or sparse; genes are drawn at random, each at most once for a target.
    y : (n_cells, n_targets)
    n_pairs : int
        Of each target, others for each.
    share : float
        Of the variance of the sum, for each pair; what products have in common is not reckoned with.
    random_state : int
    least_cells : float
        Share of the cells above a gene's smallest value that it must show to be drawn: few cells cannot show a pair.

    Returns
    -------
    targets : (n_cells, n_targets) float64, and pairs : (n_targets, n_pairs, 2) int, i < j
    """
    random, n_targets = np.random.default_rng(random_state), y.shape[1]
    genes = np.flatnonzero((share_shown(X) >= least_cells) & (variation(X) > 0))
    if 2 * n_pairs > len(genes) or not 0 < n_pairs * share < 1:
        raise InputError(f"{n_pairs} pairs of {share} of the variance each cannot be made of {len(genes)} genes")
    drawn = [random.permutation(genes)[: 2 * n_pairs].reshape(n_pairs, 2) for _ in range(n_targets)]
    pairs = np.sort(np.array(drawn), axis=2)
    first, second = (_standardized(dense(X[:, pairs[..., side].ravel()])) for side in (0, 1))
    products = _standardized(first * second).reshape(len(y), n_targets, n_pairs)
    sign = random.choice([-1, 1], (n_targets, n_pairs))
    rest = np.sqrt(1 - n_pairs * share) * _standardized(y)
    return rest + np.sqrt(share) * (products * sign).sum(axis=2), pairs


def without_pairs(
    null: str, X: np.ndarray, y: np.ndarray, adjacency: sparse.csr_array, counts: Matrix, random_state: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Cells and targets in which no product of two genes says anything that genes alone, or the graph, do not.

    Parameters
    ----------
    null : str
        "linear": in 30 genes, with noise; "hinges": above a threshold of each of 30 genes; "link": a monotone curve of
        one linear index; "smooth": a random field on the graph; "linear and smooth": both in equal parts;
        "structureless": counts of cells that differ by chance and depth alone, and the frequencies of their own graph;
        "shuffled": the targets of other cells.
    X : (n_cells, n_genes) float32, y : (n_cells, n_targets)
    adjacency : (n_cells, n_cells)
    counts : (n_cells, n_genes)
        Of the same cells: "structureless" takes depth and means from them.
    random_state : int

    Returns
    -------
    X : (n_kept, n_genes) float32, and y : (n_kept, n_targets) float64
    """
    random = np.random.default_rng([NULLS.index(null), random_state])
    if null == "shuffled":
        return X, y[random.permutation(len(y))]
    if null == "structureless":
        total, mean = (np.asarray(counts.sum(axis=axis), dtype=np.float64).ravel() for axis in (1, 0))
        cells = normalised(random.poisson(total[:, None] * (mean / mean.sum())))
        graph = knn_graph(cells, 10)
        kept = largest_part(graph)
        return cells[kept], frequencies(graph[kept][:, kept], y.shape[1])[1]
    by_genes = _standardized(np.stack([_by_genes(null, X, random) for _ in range(y.shape[1])], axis=1))
    noise = random.normal(size=y.shape)
    smooth = smooth_fields(adjacency, y.shape[1], random)
    signal = {"smooth": smooth, "linear and smooth": _standardized(by_genes + smooth)}
    return X, np.sqrt(NULL_R2) * signal.get(null, by_genes) + np.sqrt(1 - NULL_R2) * noise


def smooth_fields(adjacency: sparse.csr_array, n_fields: int, random: np.random.Generator) -> np.ndarray:
    """Noise that `SMOOTH_STEPS` steps of a random walk have made smooth on a graph, (n_cells, n_fields).

    Of mean 0 and standard deviation 1; adjacency : (n_cells, n_cells), every cell with an edge.
    """
    step = adjacency.multiply(1 / np.asarray(adjacency.sum(axis=1)).reshape(-1, 1)).tocsr()
    fields = random.normal(size=(adjacency.shape[0], n_fields))
    for _ in range(SMOOTH_STEPS):
        fields = step @ fields
    return _standardized(fields)


def _by_genes(null: str, X: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A null target's part that genes make, one by one or by one index, (n_cells,)."""
    genes = random.permutation(np.flatnonzero(np.ptp(X, axis=0)))[:NULL_GENES]
    x = _standardized(X[:, genes])
    if null == "hinges":
        x = _standardized(np.maximum(x - np.quantile(x, random.uniform(0.2, 0.8, len(genes)), axis=0).diagonal(), 0))
    index = x @ random.normal(size=len(genes))
    return np.tanh(2 * index / index.std()) if null == "link" else index


def _standardized(values: np.ndarray) -> np.ndarray:
    """Columns to mean 0 and standard deviation 1, constant ones to 0; float64."""
    values = values.astype(np.float64)
    return Standard.of(values).scaled(values)
