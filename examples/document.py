"""Causal attention within documents: row i sees the keys up to its own that have the same document id.

As packed sequences are masked in Llama 3, arXiv 2407.21783. Ids of rows and keys may be
any integers; a tile without a key of the rows' documents is not run.
"""

from refold import Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "masks"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
row, key = Tensor("row", i, dtype="int32"), Tensor("key", j, dtype="int32")
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where((j <= i) & (key[j] == row[i]), s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
