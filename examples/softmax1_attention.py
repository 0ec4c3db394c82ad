"""Attention that may attend to nothing: sum exp(s - m) v / (exp(-m) + sum exp(s - m)), m = max(0, max s).

Miller, Attention Is Off By One, 2023: softmax1, which PyTorch calls add_zero_attn.
"""

from refold import Tensor, axes, exp, fold, maximum, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
m = maximum(0, fold.max(s, over=j))
p = exp(s - m)
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / (exp(-m) + fold.sum(p, over=j)))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
