"""Triangle attention around a starting node: the edges (r, i) attend to (r, j), biased by the third edge (i, j).

o_ri = sigmoid(g_ri) softmax_j(q_ri k_rj' / sqrt(d) + b_ij) v_rj. Jumper et al., Highly accurate protein structure
prediction with AlphaFold, Nature 596, 2021, supplement, algorithm 13.
"""

from refold import Tensor, axes, exp, fold, pipeline, sigmoid, sqrt
from refold.examples import show

GROUP = "attention"

r, i, j, d, e = axes("r i j d e")
q, k, v = Tensor("q", r, i, d), Tensor("k", r, j, d), Tensor("v", r, j, e)
gate, b = Tensor("gate", r, i, e), Tensor("b", i, j)
s = fold.sum(q[r, i, d] * k[r, j, d], over=d) / sqrt(d.size) + b[i, j]
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(sigmoid(gate[r, i, e]) * fold.sum(p * v[r, j, e], over=j) / fold.sum(p, over=j))[r, i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
