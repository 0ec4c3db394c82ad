"""Dice loss of a soft mask: 1 - (2 sum p t + a) / (sum p^2 + sum t^2 + a), p = sigmoid x.

Milletari, Navab and Ahmadi, V-Net, arXiv 1606.04797.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sigmoid
from refold.examples import show

GROUP = "losses"

i, j = axes("i j")
x = Tensor("x", i, j)
t, a = Tensor("t", i, j), Scalar("a", positive=True)
p = sigmoid(x[i, j])
below = fold.sum(p**2, over=j) + fold.sum(t[i, j] ** 2, over=j) + a
SPEC = pipeline(loss=(1 - (2 * fold.sum(p * t[i, j], over=j) + a) / below)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
