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


def shaped_cells(shape: str, n_cells: int, n_components: int = 50, random_state: int = 0) -> np.ndarray:
    """Cells along a line, in a star of six arms, a tree, a cloud of eight clusters or on a swiss roll, with noise.

    Parameters
    ----------
    shape : {"line", "star", "tree", "cluster", "swiss roll", "noisy star"}
        The noise of component i falls off as 1 / sqrt(i); that of the noisy star is the same in all components.
    n_cells, n_components : int

    Returns
    -------
    (n_cells, n_components) float32, in random order
    """
    if shape == "tree":
        return branching_cells(n_cells, n_components, random_state=random_state)
    random = np.random.default_rng(random_state)
    fall = 1 / np.sqrt(np.arange(1, n_components + 1))
    cells, noise = np.zeros((n_cells, n_components)), 0.1 * fall
    along = random.random(n_cells)
    if shape == "line":
        cells[:, 0], cells[:, 1] = 10 * along, np.sin(10 * along)
    elif shape in ("star", "noisy star"):
        cells[np.arange(n_cells), random.integers(0, 6, n_cells)] = 5 * along
        noise = noise if shape == "star" else np.full(n_components, 0.5)
    elif shape == "cluster":
        centres, noise = random.standard_normal((8, n_components)) * fall, fall
        cells = centres[random.integers(0, 8, n_cells)]
    elif shape == "swiss roll":
        angle = 1.5 * np.pi * (1 + 2 * along)
        cells[:, 0], cells[:, 1] = angle * np.cos(angle), angle * np.sin(angle)
        cells[:, 2] = 21 * random.random(n_cells)
    else:
        raise ValueError(f"shape={shape!r} is not known")
    return (cells + noise * random.standard_normal(cells.shape)).astype(np.float32)
