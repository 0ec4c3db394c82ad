"""Decode over a paged cache: position j of sequence b is line j mod |t| of page table[b, ⌊j/|t|⌋], j < length[b].

Kwon et al., Efficient Memory Management for Large Language Model Serving with PagedAttention, arXiv 2309.06180.
"""

from refold import Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "decoding"

b, h, g, j, d, e, n, r, t = axes("b h g j d e n r t")
q, k, v = Tensor("q", b, h, d), Tensor("k", n, g, t, d), Tensor("v", n, g, t, e)
table, length = Tensor("table", b, r, dtype="int32"), Tensor("length", b, dtype="int32")
group, page, line = h // (h.size // g.size), table[b, j // t.size], j % t.size
s = fold.sum(q[b, h, d] * k[page, group, line, d], over=d) / sqrt(d.size)
s = where(j < length[b], s, -oo)
p = exp(s - fold.max(s, over=j))
o = fold.sum(p * v[page, group, line, e], over=j) / fold.sum(p, over=j)
SPEC = pipeline(o=o[b, h, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
