"""Obligations of a plan, their encoding over the extended reals, and the solvers' verdicts."""

from refold.verify.claim import Claim, claim
from refold.verify.claimed import verify_claim
from refold.verify.result import Checked, Counterexample, Disproof, Proof, Result, Verdict
from refold.verify.verify import verify

# `claim` the function, whatever submodule of that name was imported before.
__all__ = [
    "Checked", "Claim", "Counterexample", "Disproof", "Proof", "Result", "Verdict", "claim", "verify", "verify_claim",
]  # fmt: skip
