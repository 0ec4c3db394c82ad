"""Standardise a row: y = (x - mean) / sqrt(variance + eps).

The z-score, as LayerNorm without weight and bias has it (Ba, Kiros and Hinton, arXiv 1607.06450).
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

i, j = axes("i j")
x = Tensor("x", i, j)
eps = Scalar("eps", positive=True)
z = x[i, j] - fold.sum(x[i, j], over=j) / j.size
SPEC = pipeline(y=(z / sqrt(fold.sum(z**2, over=j) / j.size + eps))[i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
