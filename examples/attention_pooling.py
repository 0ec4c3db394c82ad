"""Attention pooling of a bag: sum_j softmax_j(w . (tanh(a_j) sigmoid(b_j))) x_j, one vector from all of a bag.

Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, arXiv 1802.04712, equations 8 and 9.
"""

from refold import Tensor, axes, exp, fold, pipeline, sigmoid, tanh
from refold.examples import show

GROUP = "attention"

b, j, l, e = axes("b j l e")
x, tanhs, gates = Tensor("x", b, j, e), Tensor("tanhs", b, j, l), Tensor("gates", b, j, l)
w = Tensor("w", l)
s = fold.sum(w[l] * tanh(tanhs[b, j, l]) * sigmoid(gates[b, j, l]), over=l)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(z=(fold.sum(p * x[b, j, e], over=j) / fold.sum(p, over=j))[b, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
