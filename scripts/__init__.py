"""Cell-graph frequencies, the bilinear models that predict them, and the reading of their weights."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
