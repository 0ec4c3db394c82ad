"""LASER attention: log(softmax(q k' / sqrt(d)) exp(v - c)) + c, with c = max_j v: gradients do not vanish.

Duvvuri and Dhillon, LASER: Attention with Exponential Transformation, arXiv 2411.03493.
"""

from refold import Tensor, axes, exp, fold, log, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
p = exp(s - fold.max(s, over=j))
c = fold.max(v[j, e], over=j)
SPEC = pipeline(o=(c + log(fold.sum(p * exp(v[j, e] - c), over=j) / fold.sum(p, over=j)))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
