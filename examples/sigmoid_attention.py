"""Sigmoid attention: sum sigmoid(q k' / sqrt(d) + b) v. Partial sums add; the softmax merge would be wrong.

Ramapuram et al., Theory, Analysis, and Best Practices for Sigmoid Self-Attention, arXiv 2409.04431 (b = -log n).
"""

from refold import Scalar, Tensor, axes, fold, pipeline, sigmoid, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
b = Scalar("b")
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size) + b
SPEC = pipeline(o=fold.sum(sigmoid(s) * v[j, e], over=j)[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
