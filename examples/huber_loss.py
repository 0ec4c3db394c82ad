"""Huber's loss: mean c (|x - y| - c / 2) with c = min(|x - y|, delta): squares of small errors, large ones linear.

Huber, Robust estimation of a location parameter, 1964.
"""

from refold import Scalar, Tensor, absolute, axes, fold, minimum, pipeline
from refold.examples import show

GROUP = "losses"

i, j = axes("i j")
x = Tensor("x", i, j)
y, delta = Tensor("y", i, j), Scalar("delta", positive=True)
gap = absolute(x[i, j] - y[i, j])
c = minimum(gap, delta)
SPEC = pipeline(loss=(fold.sum(c * (gap - c / 2), over=j) / j.size)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
