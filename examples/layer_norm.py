"""LayerNorm: y = weight (x - mean) / sqrt(var + eps) + bias, with var = mean (x - mean)^2.

Ba, Kiros and Hinton, Layer Normalization, arXiv 1607.06450. The derived merge of n, mean and M2 is that of Chan,
Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

i, j = axes("i j")
x, weight, bias = Tensor("x", i, j), Tensor("weight", j), Tensor("bias", j)
eps = Scalar("eps", positive=True)
z = x[i, j] - fold.sum(x[i, j], over=j) / j.size
variance = fold.sum(z**2, over=j) / j.size
SPEC = pipeline(y=(weight[j] * z / sqrt(variance + eps) + bias[j])[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
