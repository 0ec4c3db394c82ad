"""Load balancing of experts: loss = |e| sum_e f_e mean_i softmax_e(x_ie), f_e the share of tokens sent there.

Fedus, Zoph and Shazeer, Switch Transformers, arXiv 2101.03961, section 2.2.
"""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "losses"

i, e = axes("i e")
x, share = Tensor("x", i, e), Tensor("share", e)
p = exp(x[i, e] - fold.logsumexp(x[i, e], over=e))
SPEC = pipeline(loss=e.size * fold.sum(share[e] * fold.sum(p, over=i) / i.size, over=e))


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
