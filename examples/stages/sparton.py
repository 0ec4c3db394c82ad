"""A sparse retrieval head: w[b,v] = max_t log(1 + relu(h_t . e_v)), of which only the largest score gets a logarithm.

SPLADE v2 pools so over the tokens of a text (Formal, Lassance, Piwowarski, Clinchant, arXiv:2109.10086, 2021); as the
logarithm and relu do not fall, the maximum of the scores comes first, and no score is kept: what Sparton does by hand.
"""

from refold import Tensor, axes, fold, log, oo, pipeline, relu, where
from refold.examples import show

GROUP = "selection"

b, t, v, d = axes("b t v d")
length = Tensor("length", b, dtype="int32")
h, e = Tensor("h", b, t, d), Tensor("e", v, d)
score = fold.sum(h[b, t, d] * e[v, d], over=d)
SPEC = pipeline(w=fold.max(where(t < length[b], log(1 + relu(score)), -oo), over=t)[b, v])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
