"""Attention-free transformer: sigmoid(q) sum exp(k_je + w_ij) v_je / sum exp(k_je + w_ij), channel by channel.

Zhai et al., An Attention Free Transformer, arXiv 2105.14103.
"""

from refold import Tensor, axes, exp, fold, pipeline, sigmoid
from refold.examples import show

GROUP = "attention"

i, j, e = axes("i j e")
q, k, v, w = Tensor("q", i, e), Tensor("k", j, e), Tensor("v", j, e), Tensor("w", i, j)
s = k[j, e] + w[i, j]
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(sigmoid(q[i, e]) * fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
