"""Geometric mean of positive numbers: y = exp(mean log x)."""

from refold import Tensor, axes, exp, fold, log, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j, positive=True)
SPEC = pipeline(y=exp(fold.sum(log(x[i, j]), over=j) / j.size)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
