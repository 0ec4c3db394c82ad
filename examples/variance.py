"""Mean and unbiased variance of a row: v = sum (x - mean)^2 / (n - 1).

Welford, Note on a method for calculating corrected sums of squares and products, 1962; Chan, Golub and LeVeque, 1979.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j)
mean = fold.sum(x[i, j], over=j) / j.size
SPEC = pipeline(mean=mean[i], variance=(fold.sum((x[i, j] - mean) ** 2, over=j) / (j.size - 1))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
