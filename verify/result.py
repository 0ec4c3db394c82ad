"""What verification answers: a result for each obligation, and a `Proof` only where every one is proved."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from refold.algebra import Plan
from refold.algebra.run import Order
from refold.spec import Spec
from refold.verify.certificate.certificate import Certificate, joined_scripts, scripts
from refold.verify.claim.claim import Claim
from refold.verify.refute.trace import Divergence, Moment
from refold.verify.rounding.bounds import Bound, bounds

Verdict = Literal["proved", "refuted", "unknown"]


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A smallest input found that shows the difference: run it as `inputs`, expect `wanted`, get `got`.

    `how` says in words by which `order` it was run; `divergence` is the first intermediate value that is wrong, where
    one is known, and `trace` are the states of the run, up to those that led there.
    """

    inputs: tuple[tuple[str, Any], ...]
    wanted: str
    got: str
    how: str
    order: Order = ()
    divergence: Divergence | None = None
    trace: tuple[Moment, ...] = ()

    @property
    def call(self) -> str:
        """The input as Python: called like this, a spec gives what is wanted."""
        return f"SPEC({', '.join(f'{name}={value}' for name, value in self.inputs)})"


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict on one obligation: its claim as mathematics, the seconds it took, and its SMT-LIB text.

    `proof` holds the certificates of what was proved by one; what was proved in another way says so in `note`.
    `question` is the obligation that a run has to violate for it to be refuted by that run.
    """

    name: str
    claim: str
    verdict: Verdict
    seconds: float
    smt2: str
    counterexample: Counterexample | None = None
    note: str = ""
    proof: tuple[Certificate, ...] = ()
    question: Any = field(default=None, repr=False, compare=False)

    @property
    def alone(self) -> str:
        """What to say where only one of the two solvers answered; nothing where both did, or none was needed."""
        said = [dict(script.answers) for script in scripts(self.proof)]
        silent = Counter(name for answers in said for name, answer in answers.items() if answer != "unsat")
        missed = (f"{name} gave up on {n} of {len(said)} scripts" for name, n in sorted(silent.items()))
        return "; ".join(f"one solver alone: {text}" for text in missed)

    @property
    def remark(self) -> str:
        """How it was reached: the note, and whether only one solver answered."""
        return "; ".join(part for part in (self.note, self.alone) if part)


def joint_verdict(results: tuple[Result, ...]) -> Verdict:
    """Refuted if anything is, else unknown if anything is or nothing was asked, else proved."""
    verdicts = {r.verdict for r in results}
    return "refuted" if "refuted" in verdicts else "unknown" if "unknown" in verdicts or not verdicts else "proved"


class Report:
    """What every answer can do: say its verdict and print itself."""

    __slots__ = ()
    results: tuple[Result, ...]

    @property
    def verdict(self) -> Verdict:
        """Refuted if anything is, else unknown if anything is, else proved."""
        return joint_verdict(self.results)

    @property
    def seconds(self) -> float:
        """What all of it took."""
        return sum(r.seconds for r in self.results)

    def __str__(self) -> str:
        from refold.verify.display import report_text

        return report_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from refold.verify.display import report_html

        return report_html(self)


def joined(name: str, claim: str, parts: list[Result], note: str) -> Result:
    """One result of several that are proved."""
    proof = tuple(c for p in parts for c in p.proof)
    return Result(name, claim, "proved", sum(p.seconds for p in parts), joined_scripts(proof), note=note, proof=proof)


@dataclass(frozen=True, slots=True, repr=False)
class Proof(Report):
    """Every obligation of the plan is proved. The only thing `emit` takes. `kept` says that it was proved earlier."""

    plan: Plan
    results: tuple[Result, ...]
    versions: tuple[tuple[str, str], ...]
    kept: bool = False

    def __post_init__(self) -> None:
        if self.verdict != "proved":
            raise ValueError("a Proof holds proved obligations only")

    @property
    def rounding(self) -> tuple[Bound, ...]:
        """What rounding does to every output at most, for every dtype; from the plan alone, each time it is asked."""
        return bounds(self.plan)


@dataclass(frozen=True, slots=True, repr=False)
class Disproof(Report):
    """Some obligation is refuted or unknown."""

    plan: Plan
    results: tuple[Result, ...]
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Record(Report):
    """What a proof file says of the plan of a bundle, rechecked. Nothing is emitted from it: it holds no plan."""

    name: str
    results: tuple[Result, ...]
    versions: tuple[tuple[str, str], ...]
    kept: bool = True


@dataclass(frozen=True, slots=True, repr=False)
class Checked(Report):
    """The verdict on a claimed form of `spec`; there is no `claim` where a pipeline was not derived in time."""

    spec: Spec
    results: tuple[Result, ...]
    versions: tuple[tuple[str, str], ...]
    claim: Claim | None = field(default=None, repr=False)
