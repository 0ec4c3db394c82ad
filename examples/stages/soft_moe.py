"""Soft mixture of experts: slots = softmax(s) v over tokens, tokens = softmax(s) y over slots, s = x f'.

Puigcerver, Riquelme, Mustafa, Houlsby, From Sparse to Soft Mixtures of Experts, arXiv 2308.00951: v are the
tokens again, and y is what experts made of the slots.
"""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "selection"

i, j, d, e = axes("i j d e")
x, f, y = Tensor("x", i, d), Tensor("f", j, d), Tensor("y", j, e)
v = Tensor("v", i, e)
s = fold.sum(x[i, d] * f[j, d], over=d)
dispatch, combine = exp(s - fold.max(s, over=i)), exp(s - fold.max(s, over=j))
SPEC = pipeline(
    slots=(fold.sum(dispatch * v[i, e], over=i) / fold.sum(dispatch, over=i))[j, e],
    tokens=(fold.sum(combine * y[j, e], over=j) / fold.sum(combine, over=j))[i, e],
)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
