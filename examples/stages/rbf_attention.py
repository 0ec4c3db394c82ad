"""Attention by distances: s = -g |q - k|^2, of which only the product q . k varies with both, so that it is a dot.

The weights are those of a Gaussian kernel (Tsai et al., Transformer Dissection, arXiv:1908.11775, 2019).
"""

from refold import Scalar, Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
g = Scalar("g", positive=True)
s = -g * fold.sum((q[i, d] - k[j, d]) ** 2, over=d)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
