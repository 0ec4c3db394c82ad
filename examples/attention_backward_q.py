"""The gradient of attention by its queries: dq = sum_j P_ij (do_i . v_j - delta_i) k_j / sqrt(d), P = exp(s - lse).

lse is what the forward pass kept, delta_i = do_i . o_i. Dao, FlashAttention-2, arXiv 2307.08691, algorithm 2.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v, do = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e), Tensor("do", i, e)
lse, delta = Tensor("lse", i), Tensor("delta", i)
s = fold.sum(q[i, d] * k[j, d], over=d) / sqrt(d.size)
ds = exp(s - lse[i]) * (fold.sum(do[i, e] * v[j, e], over=e) - delta[i]) / sqrt(d.size)
SPEC = pipeline(dq=fold.sum(ds * k[j, d], over=j)[i, d])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
