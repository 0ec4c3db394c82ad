"""Steps of the obligation about the order of copies: what is asked of integers, and what is so in every launch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from refold.schedule.conditions import TRUE, nonnegative
from refold.schedule.terms import Term, symbol
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.lemmas import less, positive
from refold.verify.kernel.multiples import simplified
from refold.verify.kernel.prover import Finding
from refold.verify.kernel.questions import answer
from refold.verify.kernel.turns import BLOCK_M, BLOCK_N, ROW

# The name of the kernel in obligations, and that of the one about its barriers, which is about integers alone.
STAGE, ORDER = "hopper", "index copies: hopper"
PROGRAM, PROGRAMS = symbol("program 0", "int"), symbol("programs 0", "int")
# What is so in every launch.
FACTS = (*map(positive, (BLOCK_M, symbol("SIZE_stages", "int"))), nonnegative(ROW), less(ROW, BLOCK_M),
         nonnegative(PROGRAM), less(PROGRAM, PROGRAMS))  # fmt: skip


@dataclass(slots=True)
class Questions:
    """Asks what is so of integers, for one obligation after the other."""

    facts: tuple[Term, ...]
    asked: Asked = field(default_factory=Asked)

    def require(self, finding: Finding, goals: Iterable[Term], facts: Iterable[Term] = (), fault: str = "") -> None:
        """Takes in whether goals are so."""
        left = [g for g in simplified(goals, (BLOCK_N,)) if g is not TRUE]
        if not left:
            return
        known = [f for f in simplified([*self.facts, *facts], (BLOCK_N,)) if f is not TRUE]
        # What the others were simplified by is a fact, too.
        known.append(positive(BLOCK_N))
        question = replace(self.asked.question(known, left), name=finding.name, claim=finding.claim)
        result = answer(question)
        finding.seconds += result.seconds
        finding.proof |= dict.fromkeys(result.proof)
        finding.require(result.verdict == "proved", f"{fault or 'it was not shown of all sizes'} {result.note}".strip())


def begin(step: str, claim: str) -> Finding:
    """A step about the order of copies of which nothing is said yet."""
    return Finding(ORDER, step, claim)
