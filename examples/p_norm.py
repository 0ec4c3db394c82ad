"""Lp norm: y = (sum |x|^p)^(1/p)."""

from refold import Scalar, Tensor, absolute, axes, fold, pipeline
from refold.examples import show

GROUP = "statistics"

i, j = axes("i j")
x = Tensor("x", i, j)
p = Scalar("p", positive=True)
SPEC = pipeline(y=(fold.sum(absolute(x[i, j]) ** p, over=j) ** (1 / p))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
