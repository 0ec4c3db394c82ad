"""Additive attention: softmax(sum_d w_d tanh(q_id + k_jd)) v.

Bahdanau, Cho and Bengio, Neural Machine Translation by Jointly Learning to Align and Translate, arXiv 1409.0473.
"""

from refold import Tensor, axes, exp, fold, pipeline, tanh
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
w = Tensor("w", d)
s = fold.sum(w[d] * tanh(q[i, d] + k[j, d]), over=d)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
