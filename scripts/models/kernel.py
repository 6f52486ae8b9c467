"""Ridge between cells instead of between features: as many unknowns as cells, however many features there are."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve


def solve_kernel(kernel: np.ndarray, penalty: float, y: np.ndarray) -> np.ndarray:
    """Dual weights (K + penalty I)^-1 y of kernel ridge regression.

    Parameters
    ----------
    kernel : (n, n)
        K, symmetric; overwritten, as it can be as large as memory allows.
    penalty : float
        At least so large that the sum is positive definite.
    y : (n,) or (n, n_freq)

    Returns
    -------
    (n,) or (n, n_freq), in the precision of the kernel and y

    Raises
    ------
    numpy.linalg.LinAlgError
        If the sum is not positive definite.
    """
    kernel[np.diag_indices(len(kernel))] += penalty
    # the kernel is symmetric: transposed, it is in the order that LAPACK wants
    factor = cho_factor(kernel.T, lower=True, overwrite_a=True, check_finite=False)
    return cho_solve(factor, y, check_finite=False)
