"""What is not proved, in the user's words: what accumulators stand for, and what to change where a kind is open."""

from __future__ import annotations

import re

from refold.algebra import Plan
from refold.verify.groups import group_of
from refold.verify.refute.divergence import said
from refold.verify.result import Result

POSITIVE = "a scalar that is never 0 or below says positive=True"
APART = f"{POSITIVE}; else give the later fold a pipeline of its own that takes the earlier value as a tensor"
# What to do about an obligation of a derived form that is open, by the group that it is in.
ADVICE = {
    "stages": "write each stage as a pipeline of its own, and call one after the other; report it with the pipeline",
    "re-association": "keep the order of what is written: pipeline(..., as_written=True)",
    "gradient": "ask for the other gradients with wrt=...; this one is not to be used: report it with the pipeline",
    "form": APART,
    "corrections": APART,
    "merging": APART,
    "outputs": "say what the output is where a reduction has no position: pipeline(..., empty=VALUE)",
    "conditions": f"keep divisors away from 0 (+ eps), and what a root or a logarithm is of above 0; {POSITIVE}",
    "exponents": "subtract the maximum of the exponent: exp(s - fold.max(s, over=j))",
    "tiles": "write the mask as comparisons between sums of indices, sizes, integer scalars and integer tensors",
    "kernels": "the fused form is proved, and this kernel was not shown to compute it: nothing is emitted; report it "
               "with the pipeline",
}  # fmt: skip
# The same of a form that somebody claims.
CLAIMED = {
    "form": "name what the state holds as 'refold derive' prints it, or bring the pipeline into a form that is derived",
    "steps": "compare the function with the loop that 'refold derive' prints",
    "merging": "merge has to give the other state where one is of no position: guard an infinite maximum with "
               "finite_or(m, 0)",
    "outputs": "compare finish with what 'refold derive' prints at its end, where every position is masked too",
}  # fmt: skip
# A refutation of refold's own form is nothing that the user did.
DERIVED = "the derived form differs from the pipeline here: nothing is emitted of it; report it with the pipeline"


def next_step(result: Result, *, derived: bool) -> str:
    """What to do about a result that is not proved; `derived` where the fused form is refold's own."""
    if derived and result.verdict == "refuted":
        return DERIVED
    return (ADVICE if derived else CLAIMED).get(group_of(result), "")


def meanings(plan: Plan, result: Result) -> str:
    """What the accumulators that a result speaks of stand for: `l = Σ_j exp(x - m), m = max_j x`."""
    names = {str(a.symbol): a.symbol for a in plan.accumulators}
    spoken = re.findall(r"[^\W\d]\w*", f"{result.name} {result.claim}")
    # What only helps to correct others stands for nothing of the pipeline.
    return ", ".join(filter(None, (said(plan, names[name], name) for name in dict.fromkeys(spoken) if name in names)))
