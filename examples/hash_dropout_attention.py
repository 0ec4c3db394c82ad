"""Attention with dropout by a counter: sum keep p v / ((1 - rate) sum p), keep a hash of the position.

The mask is never in memory: a multiplicative hash of row and key decides (Knuth, The Art of Computer Programming, 6.4).
"""

from refold import Scalar, Tensor, axes, exp, fold, pipeline, sqrt, where
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
keep_below = Scalar("keep_below", integer=True)
rate = Scalar("rate")
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
p = exp(s - fold.max(s, over=j))
draw = (40503 * i + 30103 * j) % 65536
kept = where(draw < keep_below, p, 0)
SPEC = pipeline(o=(fold.sum(kept * v[j, e], over=j) / ((1 - rate) * fold.sum(p, over=j)))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
