"""Adaptive LayerNorm: y = (1 + scale_b) (x - mean) / sqrt(variance + eps) + shift_b, given by the condition.

Peebles and Xie, Scalable Diffusion Models with Transformers, arXiv 2212.09748.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sqrt
from refold.examples import show

GROUP = "norms"

b, i, j = axes("b i j")
x, scale, shift = Tensor("x", b, i, j), Tensor("scale", b, j), Tensor("shift", b, j)
eps = Scalar("eps", positive=True)
z = x[b, i, j] - fold.sum(x[b, i, j], over=j) / j.size
variance = fold.sum(z**2, over=j) / j.size
SPEC = pipeline(y=((1 + scale[b, j]) * z / sqrt(variance + eps) + shift[b, j])[b, i, j])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
