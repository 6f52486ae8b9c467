"""Synthetic cells of known shape."""

import numpy as np


def branching_cells(
    n_cells: int, n_components: int = 50, depth: int = 5, noise: float = 0.5, random_state: int = 0
) -> np.ndarray:
    """Cells along the branches of a binary tree, with noise, in component space.

    Parameters
    ----------
    n_cells, n_components : int
    depth : int
        Levels of the tree; it has 2^depth - 1 nodes, and a branch between each and its parent.
    noise : float
        Standard deviation in the first component; that of component i is 1 / sqrt(i) of it, as components of real cells
        fall off too. Branches have a mean length of 3.

    Returns
    -------
    (n_cells, n_components) float32, in random order
    """
    random = np.random.default_rng(random_state)
    nodes = np.zeros((2**depth, n_components))
    for node in range(2, 2**depth):
        nodes[node] = nodes[node // 2] + 3 * random.normal(size=n_components) / np.sqrt(n_components)
    end = random.integers(2, 2**depth, size=n_cells)
    position = random.random((n_cells, 1), dtype=np.float32)
    nodes = nodes.astype(np.float32)
    cells = nodes[end] * position + nodes[end // 2] * (1 - position)
    spread = (noise / np.sqrt(np.arange(1, n_components + 1))).astype(np.float32)
    return cells + spread * random.standard_normal(cells.shape, dtype=np.float32)
