"""Obligations of a plan, their encoding over the extended reals, and the solvers' verdicts."""

from refold.verify.result import Counterexample, Disproof, Proof, Result, Verdict
from refold.verify.verify import verify

__all__ = ["Counterexample", "Disproof", "Proof", "Result", "Verdict", "verify"]
