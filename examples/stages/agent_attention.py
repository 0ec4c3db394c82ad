"""Attention through agents: softmax(q a' / sqrt(d)) of what agents gather, softmax(a k' / sqrt(d)) v.

Han et al., Agent Attention: On the Integration of Softmax and Linear Attention, arXiv 2312.08874: linear in the length,
as there are few agents.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, n, d, e = axes("i j n d e")
q, k, v, agent = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e), Tensor("agent", n, d)
s = fold.sum(agent[n, d] * k[j, d], over=d) / sqrt(d.size)
p = exp(s - fold.max(s, over=j))
gathered = fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j)
t = fold.sum(q[i, d] * agent[n, d], over=d) / sqrt(d.size)
w = exp(t - fold.max(t, over=n))
SPEC = pipeline(o=(fold.sum(w * gathered, over=n) / fold.sum(w, over=n))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
