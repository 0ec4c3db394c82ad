"""Forgetting attention: softmax(q k' / sqrt(d) + c_i - c_j) v over j <= i, c the running sum of log forget gates.

Lin et al., Forgetting Transformer: Softmax Attention with a Forget Gate, arXiv 2503.02130. The running sum is a scan:
it is computed before and given as a tensor.
"""

from refold import Tensor, axes, exp, fold, oo, pipeline, sqrt, where
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
c, past = Tensor("c", i), Tensor("past", j)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
s = where(j <= i, s + c[i] - past[j], -oo)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * v[j, e], over=j) / fold.sum(p, over=j))[i, e], empty=0)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
