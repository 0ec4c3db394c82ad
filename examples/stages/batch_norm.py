"""BatchNorm in training: mean and variance of a channel over a batch and all positions, which the layer keeps.

Ioffe and Szegedy, Batch Normalization, arXiv 1502.03167.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

n, c, p = axes("n c p")
x = Tensor("x", n, c, p)
weight, bias = Tensor("weight", c), Tensor("bias", c)
eps = Scalar("eps", positive=True)
count = n.size * p.size
mean = fold.sum(x[n, c, p], over=(n, p)) / count
variance = fold.sum((x[n, c, p] - mean) ** 2, over=(n, p)) / count
y = weight[c] * (x[n, c, p] - mean) / sqrt(variance + eps) + bias[c]
SPEC = pipeline(y=y[n, c, p], mean=mean[c], variance=variance[c])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
