"""DoRA's norm of every adapted row: |W + s B A|, of which the product B A is held in no memory.

Liu et al., DoRA: Weight-decomposed low-rank adaptation, arXiv 2402.09353, equation 5, by output feature as its
implementations take it: the norm by which the direction of a row is divided.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

o, i, r = axes("o i r")
w, a, b = Tensor("w", o, i), Tensor("a", r, i), Tensor("b", o, r)
s = Scalar("s")
adapted = w[o, i] + s * fold.sum(b[o, r] * a[r, i], over=r)
SPEC = pipeline(norm=sqrt(fold.sum(adapted**2, over=i))[o])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
