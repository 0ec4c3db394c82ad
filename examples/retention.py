"""Retention over pairs of positions: sum_{j <= i} gamma^(i-j) (q_i . k_j) v_j, RetNet's parallel form.

Sun et al., Retentive Network: A Successor to Transformer for Large Language Models, arXiv 2307.08621, equation 5.
"""

from refold import Scalar, Tensor, axes, fold, pipeline, where
from refold.examples import show

GROUP = "attention"

i, j, d, e = axes("i j d e")
q, k, v = Tensor("q", i, d), Tensor("k", j, d), Tensor("v", j, e)
gamma = Scalar("gamma", positive=True)
s = where(j <= i, gamma ** (i - j) * fold.sum(q[i, d] * k[j, d], over=d), 0)
SPEC = pipeline(o=fold.sum(s * v[j, e], over=j)[i, e])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
