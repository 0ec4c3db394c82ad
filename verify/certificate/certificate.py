"""What a proof leaves behind: a complete case distinction with cofactors for equations and scripts for the rest."""

from __future__ import annotations

import keyword
import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, assert_never

from refold.verify.certificate import recheck


@dataclass(frozen=True, slots=True)
class Script:
    """An SMT-LIB 2 text that is unsatisfiable, of some `facts` and the negation of some `goals` (of none: the facts
    contradict each other), and what each solver answered to it."""

    smt2: str
    answers: tuple[tuple[str, str], ...]
    facts: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The hash of the text, under which a proof file has the answers."""
        return recheck.digest(self.smt2)

    @property
    def agreed(self) -> bool:
        """Whether every solver that was asked says so."""
        return all(answer == "unsat" for _, answer in self.answers)


@dataclass(frozen=True, slots=True)
class Equation:
    """`text` says `left == right`; `left - right` is the sum of `cofactor * (fact's left - right)`."""

    text: str
    cofactors: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One case: what is `given` there, as far as it was needed, what it has to `show`, and how that was closed.

    With nothing to show, the case cannot be, as a script of facts alone says, or both sides of what was claimed are
    one expression, which `same` has twice.
    """

    given: tuple[str, ...] = ()
    show: tuple[str, ...] = ()
    equations: tuple[Equation, ...] = ()
    scripts: tuple[Script, ...] = ()
    same: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """What follows where a condition holds, and where it does not."""

    condition: str
    holds: Case
    fails: Case


Case: TypeAlias = Leaf | Split


@dataclass(frozen=True, slots=True)
class Certificate:
    """A closed question: its case distinction, and what its variables stand for where their names do not say it."""

    case: Case
    variables: tuple[tuple[str, str], ...] = ()


def leaves(case: Case) -> Iterator[Leaf]:
    """The closed cases, the one where all conditions hold first."""
    match case:
        case Leaf():
            yield case
        case Split():
            yield from leaves(case.holds)
            yield from leaves(case.fails)
        case _:
            assert_never(case)


def scripts(certificates: Iterable[Certificate]) -> tuple[Script, ...]:
    """The scripts that certificates rest on, each once."""
    return tuple({s.smt2: s for c in certificates for leaf in leaves(c.case) for s in leaf.scripts}.values())


def joined_scripts(certificates: Iterable[Certificate]) -> str:
    """All scripts in one text, each from the start."""
    return "(reset)\n".join(s.smt2 for s in scripts(certificates))


def to_json(case: Case) -> dict[str, Any]:
    """A case as the proof file has it; scripts as facts and goals, which the checker prints."""
    match case:
        case Split():
            return {"if": case.condition, "then": to_json(case.holds), "else": to_json(case.fails)}
        case Leaf():
            entries: dict[str, Any] = {
                "given": list(case.given),
                "show": list(case.show),
                "equations": {e.text: [list(pair) for pair in e.cofactors] for e in case.equations},
                "unsat": [[list(s.facts), list(s.goals)] for s in case.scripts],
                "same": [list(pair) for pair in case.same],
            }
            return {name: value for name, value in entries.items() if value}
        case _:
            assert_never(case)


def from_json(data: dict[str, Any], numbers: str, answers: dict[str, Any]) -> Case:
    """The case of a proof file that was rechecked; `answers` are its solvers'."""
    if "if" in data:
        return Split(data["if"], from_json(data["then"], numbers, answers), from_json(data["else"], numbers, answers))
    return Leaf(
        tuple(data.get("given", ())),
        tuple(data.get("show", ())),
        tuple(Equation(text, tuple((c, f) for c, f in pairs)) for text, pairs in data.get("equations", {}).items()),
        tuple(_script(facts, goals, numbers, answers) for facts, goals in data.get("unsat", ())),
        tuple((left, right) for left, right in data.get("same", ())),
    )


def _script(facts: list[str], goals: list[str], numbers: str, answers: dict[str, Any]) -> Script:
    text = recheck.script(facts, goals, numbers)
    return Script(text, tuple(answers[recheck.digest(text)].items()), tuple(facts), tuple(goals))


@dataclass(slots=True)
class Names:
    """Identifiers for what a proof speaks of: `E_m1` for `E_m₁`, `q_i_d` for `q[i, d]`; no two things share one."""

    found: dict[tuple[str, Hashable], str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)

    def __call__(self, mark: str, thing: Hashable, text: str) -> str:
        """The identifier of `thing` in the role of `mark`, which `text` prints."""
        key = mark, thing
        if key not in self.found:
            plain = re.sub(r"\W+", "_", (mark + text).translate(_DIGITS).replace("′", "_new"), flags=re.ASCII)
            wish = plain.strip("_") or "x"
            base = wish = f"x{wish}" if wish[0].isdigit() or keyword.iskeyword(wish) else wish
            n = 2
            while wish in self.shown:
                wish, n = f"{base}_{n}", n + 1
            self.found[key] = wish
            self.shown[wish] = _MEANING.get(mark, "{}").format(text)
        return self.found[key]

    def legend(self) -> dict[str, str]:
        """What the identifiers stand for, where they are not the text itself."""
        return {new: old for new, old in sorted(self.shown.items()) if new != old}


_MEANING = {"E_": "exp({})", "inf_": "{} is infinite", "cos ": "cos({})", "sin ": "sin({})"}
_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
