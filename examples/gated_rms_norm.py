"""RMSNorm with a gate: y = weight x / sqrt(mean x^2 + eps) silu(g).

The output norm of Mamba-2 (Dao and Gu, arXiv 2405.21060) and of gated linear attention (Yang et al., arXiv 2312.06635).
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sigmoid, sqrt
from refold.examples import show

GROUP = "norms"

i, j = axes("i j")
x = Tensor("x", i, j)
g, weight = Tensor("g", i, j), Tensor("weight", j)
eps = Scalar("eps", positive=True)
SPEC = pipeline(
    y=(weight[j] * x[i, j] / sqrt(fold.sum(x[i, j] ** 2, over=j) / j.size + eps) * g[i, j] * sigmoid(g[i, j]))[i, j]
)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
