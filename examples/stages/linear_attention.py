"""Linear attention: o = sum_j (f(q_i) . f(k_j)) v_j / sum_j f(q_i) . f(k_j), without a score for each pair.

Written as attention by a kernel; sums exchange, so that the keys and values are summed once for all queries.
Katharopoulos, Vyas, Pappas, Fleuret, Transformers are RNNs, arXiv:2006.16236, 2020, with f(x) = 1 + relu(x).
"""

from refold import Tensor, axes, fold, pipeline, relu
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
s = fold.sum((1 + relu(q[i, d])) * (1 + relu(k[j, d])), over=d)
SPEC = pipeline(o=(fold.sum(s * v[j, e], over=j) / fold.sum(s, over=j))[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
