"""Perplexity from the probabilities of tokens: y = exp(-mean log p)."""

from refold import Tensor, axes, exp, fold, pipeline
from refold.examples import show

GROUP = "losses"

b, j = axes("b j")
log_p = Tensor("log_p", b, j)
SPEC = pipeline(y=exp(-fold.sum(log_p[b, j], over=j) / j.size)[b])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
