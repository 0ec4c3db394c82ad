"""KERPLE's logarithmic bias: softmax(q k' / sqrt(d) - a log(1 + b |i - j|)) v over the keys j <= i.

Chi et al., KERPLE: Kernelized Relative Positional Embedding for Length Extrapolation, arXiv 2205.09921.
"""

from refold import Tensor, axes, exp, fold, log, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "biases"

h, i, j, d, e = axes("h i j d e")
q, k, v = Tensor("q", h, i, d), Tensor("k", h, j, d), Tensor("v", h, j, e)
a, b = Tensor("a", h, positive=True), Tensor("b", h, positive=True)
s = fold.sum(q[h, i, d] * k[h, j, d], over=d) / sqrt(d.size) - a[h] * log(1 + b[h] * (i - j))
s = where(j <= i, s, -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[h, j, e], over=j) / fold.sum(p, over=j))[h, i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
