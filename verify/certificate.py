"""What a proof leaves behind: a complete case distinction with cofactors for equations and scripts for the rest."""

from __future__ import annotations

import keyword
import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, assert_never

from refold.verify import recheck


@dataclass(frozen=True, slots=True)
class Script:
    """An SMT-LIB 2 text that is unsatisfiable, and what each solver answered to it."""

    smt2: str
    answers: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The start of the hash of the text: equal texts have one name."""
        return recheck.digest(self.smt2)[:16]

    @property
    def agreed(self) -> bool:
        """Whether every solver that was asked says so."""
        return all(answer == "unsat" for _, answer in self.answers)


@dataclass(frozen=True, slots=True)
class Equation:
    """`text` says `left = right`; `left - right` is the sum of `cofactor * (fact's left - right)`."""

    text: str
    cofactors: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One case, closed: by equations from `premises` with cofactors, by scripts for `claims`, or for no claim at all
    where the case cannot be. With neither, nothing was left to prove: both sides are one expression."""

    premises: tuple[str, ...] = ()
    equations: tuple[Equation, ...] = ()
    claims: tuple[str, ...] = ()
    scripts: tuple[Script, ...] = ()


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
    return tuple({s.name: s for c in certificates for leaf in leaves(c.case) for s in leaf.scripts}.values())


def joined_scripts(certificates: Iterable[Certificate]) -> str:
    """All scripts in one text, each from the start."""
    return "(reset)\n".join(s.smt2 for s in scripts(certificates))


def to_json(case: Case) -> dict[str, Any]:
    """A case as the proof file has it; scripts by name."""
    match case:
        case Split():
            return {"if": case.condition, "then": to_json(case.holds), "else": to_json(case.fails)}
        case Leaf():
            found: dict[str, Any] = {}
            if case.premises:
                found["premises"] = list(case.premises)
            if case.equations:
                found["equations"] = [
                    {"equation": e.text, "cofactors": [list(pair) for pair in e.cofactors]} for e in case.equations
                ]
            if case.claims:
                found["claims"] = list(case.claims)
            if case.scripts:
                found["unsat"] = [s.name for s in case.scripts]
            return found if case.equations or case.scripts else {**found, "same": True}
        case _:
            assert_never(case)


def from_json(data: dict[str, Any], known: dict[str, Any]) -> Case:
    """The case of a proof file; `known` holds its scripts."""
    if "if" in data:
        return Split(data["if"], from_json(data["then"], known), from_json(data["else"], known))
    return Leaf(
        tuple(data.get("premises", ())),
        tuple(Equation(e["equation"], tuple((c, f) for c, f in e["cofactors"])) for e in data.get("equations", ())),
        tuple(data.get("claims", ())),
        tuple(Script(known[n]["smt2"], tuple(known[n]["answers"].items())) for n in data.get("unsat", ())),
    )


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
