"""SwiGLU, then RMSNorm: z = silu(a) b, y = weight z / sqrt(mean z^2 + eps).

Shazeer, GLU Variants Improve Transformer, arXiv 2002.05202; normalised as the sub-layers of NormFormer, 2110.09456.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sigmoid, sqrt
from refold.examples import show

GROUP = "norms"

i, j = axes("i j")
a, b, weight = Tensor("a", i, j), Tensor("b", i, j), Tensor("weight", j)
eps = Scalar("eps", positive=True)
z = a[i, j] * sigmoid(a[i, j]) * b[i, j]
SPEC = pipeline(y=(weight[j] * z / sqrt(fold.sum(z**2, over=j) / j.size + eps))[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
