"""GroupNorm: a mean and a variance over the channels of a group and the positions of an image, as one axis.

Wu and He, Group Normalization, arXiv 1803.08494.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

n, g, c, p = axes("n g c p")
x = Tensor("x", n, g, c, p)
weight, bias = Tensor("weight", g, c), Tensor("bias", g, c)
eps = Scalar("eps", positive=True)
count = c.size * p.size
z = x[n, g, c, p] - fold.sum(x[n, g, c, p], over=(c, p)) / count
variance = fold.sum(z**2, over=(c, p)) / count
SPEC = pipeline(y=(weight[g, c] * z / sqrt(variance + eps) + bias[g, c])[n, g, c, p])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
