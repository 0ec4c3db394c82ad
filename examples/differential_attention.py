"""Differential attention of one head: o = (softmax(q1 k1' / sqrt(d)) - lam softmax(q2 k2' / sqrt(d))) v.

Ye et al., Differential Transformer, arXiv 2410.05258. The two softmaxes are two states of rank 1.
"""

from refold import Scalar, Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q1, k1 = Tensor("q1", i, d), Tensor("k1", j, d)
q2, k2 = Tensor("q2", i, d), Tensor("k2", j, d)
v, lam = Tensor("v", j, e), Scalar("lam")
s1, s2 = (fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size) for q, k in ((q1, k1), (q2, k2)))
w1, w2 = (exp(s - fold.max(s, over=j)) for s in (s1, s2))
p1, p2 = (w / fold.sum(w, over=j) for w in (w1, w2))
SPEC = pipeline(o=fold.sum((p1 - lam * p2) * v[j, e], over=j)[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
