"""Excess kurtosis of every row: k = n sum (x - mean)^4 / (sum (x - mean)^2)^2 - 3.

Pébay, Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical moments,
Sandia report SAND2008-6212.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j)
z = x[i, j] - fold.sum(x[i, j], over=j) / j.size
SPEC = pipeline(k=(j.size * fold.sum(z**4, over=j) / fold.sum(z**2, over=j) ** 2 - 3)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
