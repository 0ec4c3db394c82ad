"""Multi-head latent attention: s = (q . (W_k c) + q_r . k_r) / sqrt(n), o = sum_j p_j (W_v c_j), reading c alone.

Written with the keys and values that it stands for; W_k goes to the queries and W_v leaves the sum over positions
(absorbed), so that no head reads more than c. DeepSeek-V2, arXiv:2405.04434, 2024, section 2.1.
"""

from refold import Tensor, axes, exp, fold, pipeline, sqrt
from refold.examples import show

GROUP = "attention"

h, i, j, d, r, x, e = axes("h i j d r x e")
q, q_rope = Tensor("q", h, i, d), Tensor("q_rope", h, i, x)
c, k_rope = Tensor("c", j, r), Tensor("k_rope", j, x)
w_k, w_v = Tensor("w_k", h, d, r), Tensor("w_v", h, e, r)
key = fold.sum(w_k[h, d, r] * c[j, r], over=r)
value = fold.sum(w_v[h, e, r] * c[j, r], over=r)
s = (fold.sum(q[h, i, d] * key, over=d) + fold.sum(q_rope[h, i, x] * k_rope[j, x], over=x)) / sqrt(d.size + x.size)
p = exp(s - fold.max(s, over=j))
SPEC = pipeline(o=(fold.sum(p * value, over=j) / fold.sum(p, over=j))[h, i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
