"""Attention by powers of scores: sum s^4 v / (1 + sum s^4), s = q k' / sqrt(d) over j <= i.

Kacham, Mirrokni, Zhong, PolySketchFormer: Fast Transformers via Sketching Polynomial Kernels, arXiv 2310.01655.
"""

from refold import Tensor, axes, fold, pipeline, sqrt, where
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
s = where(j <= i, (fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)) ** 4, 0)
SPEC = pipeline(o=(fold.sum(s * v[j, e], over=j) / (1 + fold.sum(s, over=j)))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
