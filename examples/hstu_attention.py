"""HSTU's pointwise attention: sum_{j <= i} silu(q k' + b_ij) v / |j|, with silu(x) = x sigmoid(x).

Zhai et al., Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers, arXiv 2402.17152.
"""

from refold import Tensor, axes, fold, pipeline, sigmoid, where
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
b = Tensor("b", i, j)
s = fold.sum(q[i, d] * k[j, d], over=d) + b[i, j]
a = where(j <= i, s * sigmoid(s), 0)
SPEC = pipeline(o=(fold.sum(a * v[j, e], over=j) / j.size)[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
