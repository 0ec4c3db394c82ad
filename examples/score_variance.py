"""Variance of scores under their own softmax, by centred moments: c = E[s^2] - E[s]^2, carried as E[(s - E s)^2].

It is the varentropy of the softmax, as log p = s - log sum exp s: Kontoyiannis and Verdu, Optimal lossless data
compression: non-asymptotics and asymptotics, IEEE Transactions on Information Theory 60(2), 2014.
"""

from dataclasses import replace

from refold.examples import score_variance_raw, show

GROUP = "statistics"

SPEC = replace(score_variance_raw.SPEC, centred=True)


def main() -> None:
    """Prints the derivation and the verdicts."""
    show(SPEC)


if __name__ == "__main__":
    main()
