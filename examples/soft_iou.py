"""Soft Jaccard loss: 1 - sum min(p, t) / (sum max(p, t) + eps), p = sigmoid x.

Yuan et al., Automatic skin lesion segmentation with fully convolutional-deconvolutional networks, arXiv 1703.05165.
"""

from refold import Scalar, Tensor, axes, fold, maximum, minimum, pipeline, sigmoid
from refold.examples import show

GROUP = "losses"

i, j = axes("i j")
x = Tensor("x", i, j)
t, eps = Tensor("t", i, j), Scalar("eps", positive=True)
p = sigmoid(x[i, j])
SPEC = pipeline(loss=(1 - fold.sum(minimum(p, t[i, j]), over=j) / (fold.sum(maximum(p, t[i, j]), over=j) + eps))[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
