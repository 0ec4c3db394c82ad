"""Decoding with a window: one query sees the last keys of a cache, from |j| - window on.

Beltagy et al., Longformer, arXiv 2004.05150; Jiang et al., Mistral 7B, arXiv 2310.06825.
"""

from refold import Scalar, Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "decoding"

h, j, d, e = axes("h j d e")
q, k, v = Tensor("q", h, d), Tensor("k", h, j, d), Tensor("v", h, j, e)
window = Scalar("window", integer=True, positive=True)
s = fold.sum(q[h, d] * k[h, j, d], over=d) / sqrt(d.size)
s = where(j >= j.size - window, s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[h, j, e], over=j) / fold.sum(p, over=j))[h, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
