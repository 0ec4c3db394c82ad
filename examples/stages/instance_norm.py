"""InstanceNorm: y = weight_c (x - mean) / sqrt(variance + eps) + bias_c, over the positions of one channel.

Ulyanov, Vedaldi and Lempitsky, Instance Normalization, arXiv 1607.08022.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

n, c, a, b = axes("n c a b")
x = Tensor("x", n, c, a, b)
weight, bias = Tensor("weight", c), Tensor("bias", c)
eps = Scalar("eps", positive=True)
count = a.size * b.size
z = x[n, c, a, b] - fold.sum(x[n, c, a, b], over=(a, b)) / count
variance = fold.sum(z**2, over=(a, b)) / count
SPEC = pipeline(y=(weight[c] * z / sqrt(variance + eps) + bias[c])[n, c, a, b])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
