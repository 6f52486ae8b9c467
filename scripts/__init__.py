"""Cell-graph frequencies, the bilinear models that predict them, and the reading of their weights."""
