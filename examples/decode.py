"""Attention of one query row over a cache, the case that is split over the keys: softmax(q k' / sqrt(d)) v.

Dao, Haziza, Massa and Sizov, Flash-Decoding for long-context inference, 2023.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "decoding"

j, d, e = axes("j d e")
q, k, v = Tensor("q", d), Tensor("k", j, d), Tensor("v", j, e)
s = fold.sum(q[d] * k[j, d], over=d) / sqrt(d.size)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
