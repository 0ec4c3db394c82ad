"""Skewness of a row: mean (x - mean)^3 / sqrt(mean (x - mean)^2 + eps)^3, which is 0 for a constant row.

Pébay, Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical moments,
Sandia report SAND2008-6212.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j)
eps = Scalar("eps", positive=True)
z = x[i, j] - fold.sum(x[i, j], over=j) / j.size
deviation = sqrt(fold.sum(z**2, over=j) / j.size + eps)
SPEC = pipeline(y=(fold.sum(z**3, over=j) / j.size / deviation**3)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
