"""What programs are: genes by pattern, cells at their ends, frequencies that they go with, and polynomials of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from scripts.blocks import Matrix
from scripts.evaluation import correlations
from scripts.models import PolynomialForm, monomials
from scripts.programs.divisions import Programs
from scripts.reading import poles

COLUMNS = ["program", "pole", "rank", "gene", "pattern", "weight"]
NEAR = 0.05  # of a program's range: how far from a cell a surface is drawn
END = 0.1  # share of the cells that is an end of a program
GROUPS = ["alone", "curves", "products of two", "products of three"]


def program_table(programs: Programs | None, X: Matrix, n_genes: int = 50, hidden: str = "") -> pd.DataFrame:
    """Genes of both poles of each program, by pattern.

    The pattern is the correlation of each gene with the program over the cells that it was fitted to: weights say what
    a model uses, patterns what the cells do (Haufe et al., NeuroImage 87, 96, 2014).

    Parameters
    ----------
    programs : Programs or None
    X : (n_cells, n_genes)
    n_genes : int
        Of each pole.
    hidden : str
        Regular expression of genes to leave out of the poles; the model keeps them.

    Returns
    -------
    DataFrame
        program (from 1), pole, rank (from 1), gene, pattern, weight (of the gene in the program's index).
    """
    if programs is None:
        return pd.DataFrame(columns=COLUMNS)
    patterns = correlations(X[programs.half], programs.t[programs.half])
    genes, axes = programs.form.genes, programs.form.axes
    shown = ~pd.Series(genes).str.contains(hidden).to_numpy() if hidden else np.ones(len(genes), dtype=bool)
    rows = [
        (k + 1, pole, rank, genes[i], patterns[i, k], axes[i, k])
        for k in range(axes.shape[1])
        for pole, places in poles(patterns[:, k] * shown, n_genes).items()
        for rank, i in enumerate(places, start=1)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def gene_lists(table: pd.DataFrame, n_genes: int) -> pd.DataFrame:
    """The first genes of each pole in one line, a row a program; table : as from `program_table`."""
    shown = table[table["rank"] <= n_genes]
    lists = shown.groupby(["program", "pole"], sort=False)["gene"].agg(", ".join)
    return lists.unstack("pole").reset_index().rename_axis(columns=None) if len(lists) else shown[["program"]]


def program_ends(programs: Programs | None, labels: pd.Series) -> pd.DataFrame:
    """What each program goes with, in the cells that it has not met.

    labels : (n_cells,) categories, or numbers, which are not named. Returns a row a program: program, low and high (the
    label that is most over-represented among the tenth of the cells at that end; "" where none is), r_0, r_1, ...
    (correlation with each frequency).
    """
    if programs is None:
        return pd.DataFrame(columns=["program", "low", "high"])
    t, y, labels = programs.t[programs.other], programs.y[programs.other], labels.iloc[programs.other]
    n_end = max(1, int(END * len(t)))
    r = correlations(t, y)
    found = []
    for k in range(t.shape[1]):
        order = np.argsort(t[:, k], kind="stable")
        low, high = (_commonest(labels.iloc[rows], labels) for rows in (order[:n_end], order[::-1][:n_end]))
        found.append((k + 1, low, high, *r[k]))
    return pd.DataFrame(found, columns=["program", "low", "high", *[f"r_{f}" for f in range(y.shape[1])]])


def _commonest(some: pd.Series, every: pd.Series) -> str:
    """The label of which most of the cells are, if that is a greater share than of all cells; "" if not."""
    if pd.api.types.is_float_dtype(every.dtype) or not some.notna().any():
        return ""
    counts = some.value_counts()
    name, share = counts.index[0], counts.iloc[0] / len(some)
    return str(name) if share > (every == name).mean() else ""


def group_of(term: tuple[int, ...]) -> str:
    """What a term is: one program alone, a curve of one, or a product of two or three programs."""
    return GROUPS[0] if len(term) == 1 else GROUPS[len(set(term))]


def polynomial_shares(programs: Programs | None, X: Matrix) -> pd.DataFrame:
    """What each group of terms contributes to the prediction of each frequency, in cells that were not met.

    A share is cov(part, prediction) / var(prediction): those of all groups add up to 1 exactly, as the parts and a
    constant add up to the prediction; one is negative where a group takes back what others give.

    Returns
    -------
    DataFrame
        frequency, group (`GROUPS`), programs (numbers from 1, with a space between, in all terms of the group that
        share them), share; the largest first.
    """
    columns = ["frequency", "group", "programs", "share"]
    if programs is None:
        return pd.DataFrame(columns=columns)
    parts = programs.form.contributions(X[programs.other])
    total = parts.sum(axis=2)
    centred = total - total.mean(axis=0)
    variance = (centred**2).sum(axis=0)
    shares = np.einsum("cfm,cf->fm", parts, centred) / np.where(variance > 0, variance, 1)[:, None]
    terms = monomials(programs.t.shape[1])
    keys = pd.DataFrame(
        {
            "group": [group_of(term) for term in terms],
            "programs": [" ".join(str(k + 1) for k in sorted(set(term))) for term in terms],
        }
    )
    tables = [
        keys.assign(share=of_terms).groupby(["group", "programs"], as_index=False)["share"].sum().assign(frequency=f)
        for f, of_terms in enumerate(shares)
    ]
    table = pd.concat(tables, ignore_index=True)
    return table.sort_values(["frequency", "share"], ascending=[True, False], ignore_index=True)[columns]


@dataclass(frozen=True)
class Response:
    """What a polynomial says of a frequency over two programs, and cells that it has not met.

    Attributes
    ----------
    frequency : int
    names : two names of programs
    surface : (n, n) DataFrame
        Predicted frequency; rows the values of the second program, columns those of the first; NaN where no cell is
        near.
    t : (n_cells, 2)
        The two programs of the cells.
    y : (n_cells,)
        Their frequency, of standard deviation 1.
    """

    frequency: int
    names: tuple[str, str]
    surface: pd.DataFrame
    t: np.ndarray
    y: np.ndarray


def score_table(programs: Programs | None, cells: pd.Index) -> pd.DataFrame:
    """Programs of all cells, a row a cell: cell, fitted (whether programs were fitted to it), program_1, program_2, ...

    cells : (n_cells,) names. No rows where there are no programs.
    """
    if programs is None:
        return pd.DataFrame(columns=["cell", "fitted"])
    is_fitted = np.isin(np.arange(len(cells)), programs.half)
    scores = {f"program_{number}": t for number, t in enumerate(programs.t.T, start=1)}
    return pd.DataFrame({"cell": cells, "fitted": is_fitted, **scores})


def strongest_response(programs: Programs | None, terms: pd.DataFrame) -> Response | None:
    """The `response` of the pair of programs and the frequency of the largest |t|.

    terms : as from `program_terms`. None where no pair is tested.
    """
    pairs = terms[terms["order"] == 2]
    if programs is None or pairs.empty:
        return None
    best = pairs.loc[pairs["t"].abs().idxmax()]
    return response(programs.form, programs.t, programs.y, programs.other, int(best["frequency"]), best["programs"])


def response(
    form: PolynomialForm, t: np.ndarray, y: np.ndarray, other: np.ndarray, frequency: int, pair: str, n: int = 40
) -> Response:
    """The surface of a frequency over two programs, the others at their mean.

    Parameters
    ----------
    form : PolynomialForm
    t : (n_cells, n_programs)
    y : (n_cells, n_freq)
        Of standard deviation 1.
    other : (n_other,) int or (n_cells,) bool
        Cells that the programs have not met.
    frequency : int
    pair : str
        Numbers of the two programs, from 1, with a space between.
    n : int
        Values of each program.
    """
    places = [int(number) - 1 for number in pair.split()]
    along = [np.linspace(t[:, k].min(), t[:, k].max(), n) for k in places]
    points = np.tile(t.mean(axis=0), (n * n, 1))
    points[:, places] = np.stack([grid.ravel() for grid in np.meshgrid(*along)], axis=1)
    products = np.stack([points[:, term].prod(axis=1) for term in monomials(t.shape[1])], axis=1)
    values = form.constant[frequency] + products @ form.weights[frequency]
    size = np.maximum(np.ptp(t[:, places], axis=0), 1e-12)
    distance, _ = KDTree(t[:, places] / size).query(points[:, places] / size)
    shown = np.where(distance < NEAR, values, np.nan).reshape(n, n)
    surface = pd.DataFrame(shown, index=along[1], columns=along[0])
    names = (f"program {places[0] + 1}", f"program {places[1] + 1}")
    return Response(frequency, names, surface, t[other][:, places], y[other, frequency])
