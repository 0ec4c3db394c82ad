"""Hard attention: the value of the key with the largest score, o = v[argmax_j q.k_j], causal.

Xu et al., Show, attend and tell, arXiv 1502.03044, where the key is drawn; its limit of low temperature as in
Perez et al., On the Turing completeness of modern neural network architectures, arXiv 1901.03429.
"""

from refold import Tensor, axes, fold, oo, pipeline, where
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
s = where(j <= i, fold.sum(q[i, d] * k[j, d], over=d), -oo)
SPEC = pipeline(o=v[fold.argmax(s, over=j), e][i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
