"""RMSNorm: y = weight x / sqrt(mean x^2 + eps).

Zhang and Sennrich, Root Mean Square Layer Normalization, arXiv 1910.07467.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

i, j = axes("i j")
x, weight = Tensor("x", i, j), Tensor("weight", j)
eps = Scalar("eps", positive=True)
mean_square = fold.sum(x[i, j] ** 2, over=j) / j.size
SPEC = pipeline(y=(weight[j] * x[i, j] / sqrt(mean_square + eps))[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
