"""Circular concentration about the mean angle: r = mean cos(x - mean x); the correction is a rotation."""

from refold import Tensor, axes, cos, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j)
z = x[i, j] - fold.sum(x[i, j], over=j) / j.size
SPEC = pipeline(r=(fold.sum(cos(z), over=j) / j.size)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
