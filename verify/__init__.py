"""Obligations of a plan, their encoding over the extended reals, and the solvers' verdicts."""

from refold.verify.claim.claim import Claim, claim
from refold.verify.claim.verify import verify_claim
from refold.verify.result import Checked, Counterexample, Disproof, Proof, Record, Result, Verdict
from refold.verify.verify import derive_within, verify

# `claim` the function, whatever submodule of that name was imported before.
__all__ = [
    "Checked", "Claim", "Counterexample", "Disproof", "Proof", "Record", "Result", "Verdict",
    "claim", "derive_within", "verify", "verify_claim",
]  # fmt: skip
