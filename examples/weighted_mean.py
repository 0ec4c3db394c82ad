"""Weighted mean: y = sum w x / sum w."""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j)
w = Tensor("w", i, j, nonnegative=True)
SPEC = pipeline(y=(fold.sum(w[i, j] * x[i, j], over=j) / fold.sum(w[i, j], over=j))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
