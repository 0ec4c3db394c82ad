"""Pearson's correlation of two rows: sum dx dy / sqrt(sum dx^2 sum dy^2), dx = x - mean x, dy = y - mean y.

Pearson, Notes on regression and inheritance in the case of two parents, 1895.
"""

from refold import Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j)
y = Tensor("y", i, j)
dx = x[i, j] - fold.sum(x[i, j], over=j) / j.size
dy = y[i, j] - fold.sum(y[i, j], over=j) / j.size
SPEC = pipeline(r=(fold.sum(dx * dy, over=j) / sqrt(fold.sum(dx**2, over=j) * fold.sum(dy**2, over=j)))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
