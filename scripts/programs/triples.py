"""Which triples of genes a polynomial multiplies."""

from itertools import combinations

import numpy as np

from scripts.models import PolynomialForm


def gene_triples(form: PolynomialForm, genes: list[str]) -> tuple[list[tuple[str, str, str]], np.ndarray]:
    """|6 T_f[i, j, k]| of every triple of different genes: how far all three together move a frequency.

    T_f is the symmetric cubic core in gene space, sum_abc T_f[a, b, c] v_a[i] v_b[j] v_c[k]; where a form is bounded,
    it is that of cells near the mean.

    Parameters
    ----------
    form : PolynomialForm
    genes : list of str
        Candidates, of which all triples are ranked: some hundred at most.

    Returns
    -------
    triples : list of three names
    weights : (n_triples,)
        Root of the sum of squares over frequencies.
    """
    places = [form.genes.index(gene) for gene in genes]
    axes = form.axes[places]
    triples = np.array([*combinations(range(len(genes)), 3)]).reshape(-1, 3)
    first, second, third = (axes[column] for column in triples.T)
    cubic = np.einsum("fabc,na,nb,nc->nf", form.cubic, first, second, third, optimize=True)
    return [(genes[i], genes[j], genes[k]) for i, j, k in triples], 6 * np.linalg.norm(cubic, axis=1)


def gene_triples_of_pairs(form: PolynomialForm, genes: list[str]) -> np.ndarray:
    """What second order says of the same triples: the geometric mean of |2 S_f| of their three pairs, (n_triples,)."""
    axes = form.axes[[form.genes.index(gene) for gene in genes]]
    pairs = 2 * np.linalg.norm(np.einsum("fab,ia,jb->fij", form.quadratic, axes, axes), axis=0)
    i, j, k = np.array([*combinations(range(len(genes)), 3)]).reshape(-1, 3).T
    return np.cbrt(pairs[i, j] * pairs[j, k] * pairs[i, k])
