"""Performer's third fold: sum_j a c3 exp(c1 - r1 - b c2 c3) / r2, r1 = max_j c1, r2 = sum_j exp(c1 - r1 - b c2 c3).

The g3 of Zhao et al., Neptune: Advanced ML Operator Fusion for Locality and Parallelism on GPUs, PLDI 2026; the model
is that of Choromanski et al., Rethinking Attention with Performers, arXiv 2009.14794.
"""

from refold import Scalar, Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "attention"

i, j = axes("i j")
c1, c2, c3 = Tensor("c1", i, j), Tensor("c2", i, j), Tensor("c3", i, j)
a, b = Scalar("a"), Scalar("b")
r1 = fold.max(c1[i, j], over=j)
p = exp(c1[i, j] - r1 - b * c2[i, j] * c3[i, j])
r2 = fold.sum(p, over=j)
SPEC = pipeline(o=fold.sum(a * c3[i, j] * p / r2, over=j)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
