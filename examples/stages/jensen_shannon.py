"""Jensen-Shannon divergence of two softmaxes: (kl(p, m) + kl(q, m)) / 2, m = (p + q) / 2.

Two stages: log(p + q) does not separate. Lin, Divergence measures based on the Shannon entropy, 1991.
"""

from refold import Tensor, axes, exp, fold, log, pipeline
from refold.examples import show

GROUP = "losses"

i, c = axes("i c")
x = Tensor("x", i, c)
y = Tensor("y", i, c)
log_p, log_q = x[i, c] - fold.logsumexp(x[i, c], over=c), y[i, c] - fold.logsumexp(y[i, c], over=c)
p, q = exp(log_p), exp(log_q)
log_m = log((p + q) / 2)
SPEC = pipeline(js=(fold.sum(p * (log_p - log_m) + q * (log_q - log_m), over=c) / 2)[i])


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
