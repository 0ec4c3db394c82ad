"""Causal attention with linear biases: s = q k' / sqrt(d) - slope_h (i - j), one slope a head.

Press, Smith and Lewis, Train Short, Test Long (ALiBi), arXiv 2108.12409.
"""

from refold import Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "biases"

h, i, j, d, e = axes("h i j d e")
q, k, v = Tensor("q", h, i, d), Tensor("k", h, j, d), Tensor("v", h, j, e)
slope = Tensor("slope", h)
s = fold.sum(q[h, i, d] * k[h, j, d], over=d) / sqrt(d.size) - slope[h] * (i - j)
s = where(j <= i, s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[h, j, e], over=j) / fold.sum(p, over=j))[h, i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
