"""Harmonic mean of positive numbers: y = n / sum 1/x."""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j, positive=True)
SPEC = pipeline(y=(j.size / fold.sum(1 / x[i, j], over=j))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
