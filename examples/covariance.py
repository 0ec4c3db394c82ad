"""Covariance of two rows: c = mean (x - mean x) (y - mean y).

Pébay, Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical moments,
Sandia report SAND2008-6212.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x, y = Tensor("x", i, j), Tensor("y", i, j)
dx = x[i, j] - fold.sum(x[i, j], over=j) / j.size
dy = y[i, j] - fold.sum(y[i, j], over=j) / j.size
SPEC = pipeline(c=(fold.sum(dx * dy, over=j) / j.size)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
