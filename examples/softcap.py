"""Attention with capped scores: s = cap tanh(q k' / (cap sqrt(d))).

Gemma Team, Gemma 2: Improving Open Language Models at a Practical Size, arXiv 2408.00118, section 2.
"""

from refold import Scalar, Tensor, axes, exp, fold, pipeline, sqrt, tanh
from refold.examples import show

GROUP = "biases"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
cap = Scalar("cap", positive=True)
s = cap * tanh(fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size) / cap)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
