"""One step of iterative reweighting: a mean of x by weights 1 / (1 + (x - mean)^2), robust against outliers.

No single pass computes it: the weight of an element does not separate into functions of the mean and of the element.
Holland and Welsch, Robust regression using iteratively reweighted least-squares, 1977.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "iterations"

i, j = axes("i j")
x = Tensor("x", i, j)
mean = fold.sum(x[i, j], over=j) / j.size
weight = 1 / (1 + (x[i, j] - mean) ** 2)
SPEC = pipeline(y=(fold.sum(weight * x[i, j], over=j) / fold.sum(weight, over=j))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
