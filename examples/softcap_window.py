"""Attention of Gemma 2's local layers: cap tanh(s / cap) over the keys i - window < j <= i.

Gemma Team, Gemma 2: Improving Open Language Models at a Practical Size, arXiv 2408.00118, section 2.
"""

from refold import Scalar, Tensor, axes, exp, fold, oo, pipeline, sqrt, tanh, where
from refold.examples import show

GROUP = "masks"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
cap, window = Scalar("cap", positive=True), Scalar("window", integer=True, positive=True)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where((j <= i) & (j > i - window), cap * tanh(s / cap), -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
