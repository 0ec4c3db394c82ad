"""RMSNorm of a sum with the residual stream: z = x + r, y = weight z / sqrt(mean z^2 + eps); z is kept.

Zhang and Sennrich, Root Mean Square Layer Normalization, arXiv 1910.07467, fused as vLLM and Liger have it.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

i, j = axes("i j")
x = Tensor("x", i, j)
r, weight = Tensor("r", i, j), Tensor("weight", j)
eps = Scalar("eps", positive=True)
z = x[i, j] + r[i, j]
SPEC = pipeline(z=z[i, j], y=(weight[j] * z / sqrt(fold.sum(z**2, over=j) / j.size + eps))[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
