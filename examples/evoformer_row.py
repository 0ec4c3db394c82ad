"""AlphaFold's row attention: sigmoid(g) softmax(q k' / sqrt(d) + b_ij + mask_j) v, with a bias from pairs.

Jumper et al., Highly accurate protein structure prediction with AlphaFold, Nature 596, 2021, supplement, algorithm 7.
"""

from refold import Tensor, axes, exp, fold, pipeline, sigmoid, sqrt
from refold.examples import show

GROUP = "attention"

h, i, j, d, e = axes("h i j d e")
q, k, v = Tensor("q", h, i, d), Tensor("k", h, j, d), Tensor("v", h, j, e)
gate, b, mask = Tensor("gate", h, i, e), Tensor("b", h, i, j), Tensor("mask", j)
s = fold.sum(q[h, i, d] * k[h, j, d], over=d) / sqrt(d.size) + b[h, i, j] + mask[j]
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(sigmoid(gate[h, i, e]) * fold.sum(p * v[h, j, e], over=j) / fold.sum(p, over=j))[h, i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
