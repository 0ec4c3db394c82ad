"""Attention of the max-plus semiring: o = max_j (v - gap), gap = max_d (q - k) - min_d (q - k).

Hashemi, Pasque, Teska, Yoshida, Tropical Attention: Neural Algorithmic Reasoning for Combinatorial Algorithms, arXiv
2505.17190: the gap is Hilbert's projective metric.
"""

from refold import Tensor, axes, fold, pipeline
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
apart = q[i, d] - k[j, d]
gap = fold.max(apart, over=d) - fold.min(apart, over=d)
SPEC = pipeline(o=fold.max(v[j, e] - gap, over=j)[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
