"""Attention with weights of both signs: p = sign(s) exp(|s| - max|s|) / sum exp(|s| - max|s|), s = q k' / sqrt(d).

Lv et al., More Expressive Attention with Negative Weights, arXiv 2411.07176: a key may be subtracted.
"""

from refold import Tensor, absolute, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
w = exp(absolute(s) - fold.max(absolute(s), over=j))
sign = s / absolute(s)
SPEC = pipeline(o=(fold.sum(sign * w * v[j, e], over=j) / fold.sum(w, over=j))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
