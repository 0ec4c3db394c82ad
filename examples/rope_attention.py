"""Rotary position embedding inside of the score: the halves of q and k are turned by tables of cosines and sines.

s_ij = ((q1 c - q2 s)(k1 c' - k2 s') + (q1 s + q2 c)(k1 s' + k2 c')) summed over pairs, / sqrt(d). The halves are
two views of one tensor. Su et al., RoFormer, arXiv 2104.09864, as GPT-NeoX and Llama lay it out.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, p, e = axes("i j p e")
q1, q2, k1, k2 = Tensor("q1", i, p), Tensor("q2", i, p), Tensor("k1", j, p), Tensor("k2", j, p)
qc, qs, kc, ks = Tensor("q_cos", i, p), Tensor("q_sin", i, p), Tensor("k_cos", j, p), Tensor("k_sin", j, p)
v = Tensor("v", j, e)
first = (q1[i, p] * qc[i, p] - q2[i, p] * qs[i, p]) * (k1[j, p] * kc[j, p] - k2[j, p] * ks[j, p])
second = (q1[i, p] * qs[i, p] + q2[i, p] * qc[i, p]) * (k1[j, p] * ks[j, p] + k2[j, p] * kc[j, p])
s = fold.sum(first + second, over=p) / sqrt(2 * p.size)
w = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(w * v[j, e], over=j) / fold.sum(w, over=j))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
