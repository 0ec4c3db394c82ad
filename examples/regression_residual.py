"""Residual sum of squares of a least-squares line over every row: r = sum (y - a - b x)^2.

b = sum (x - mean x)(y - mean y) / sum (x - mean x)^2 and a = mean y - b mean x. What is carried are the second moments
of Pébay, Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical moments,
Sandia report SAND2008-6212.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x, y = Tensor("x", i, j)[i, j], Tensor("y", i, j)[i, j]
mean_x, mean_y = fold.sum(x, over=j) / j.size, fold.sum(y, over=j) / j.size
b = fold.sum((x - mean_x) * (y - mean_y), over=j) / fold.sum((x - mean_x) ** 2, over=j)
a = mean_y - b * mean_x
SPEC = pipeline(r=fold.sum((y - a - b * x) ** 2, over=j)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
