"""Attention whose output is gated: sigmoid(g) softmax(q k' / sqrt(d)) v.

Qiu et al., Gated Attention for Large Language Models, arXiv 2505.06708.
"""

from refold import Tensor, axes, exp, fold, oo, pipeline, sigmoid, sqrt, where
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
gate = Tensor("gate", i, e)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where(j <= i, s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(sigmoid(gate[i, e]) * fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
