"""Softpick: sum relu(e^(s-m) - e^(-m)) v / (sum |e^(s-m) - e^(-m)| + eps), m = max(0, max s).

Zuhri, Fuadi and Aji, Softpick: No Attention Sink, No Massive Activations with Rectified Softmax, arXiv 2504.20966. With
0 in the maximum no exponent is above 0, also where all scores are far below; it changes what eps is relative to.
"""

from refold import Scalar, Tensor, absolute, axes, exp, fold, maximum, pipeline, relu, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
eps = Scalar("eps", positive=True)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
m = maximum(0, fold.max(s, over=j))
p = exp(s - m) - exp(-m)
SPEC = pipeline(o=(fold.sum(relu(p) * v[j, e], over=j) / (fold.sum(absolute(p), over=j) + eps))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
