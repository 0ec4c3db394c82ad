"""The equations of a proof file as Lean 4 text: one theorem each, by `linear_combination` of its cofactors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# What Lean would not take for a variable.
_WORDS = """at by do else end example from fun have if import in instance let match mut namespace open show then theorem
this variable where with"""


def lean_text(proof: dict[str, Any]) -> str:
    """A file for Lean 4 with Mathlib. It states what `refold recheck` multiplies out, over the reals."""
    head = [
        "import Mathlib.Tactic.LinearCombination",
        "import Mathlib.Data.Real.Basic",
        "",
        f"/-! The equations of {_comment(proof['name'])}, written by refold from proof {proof['key'][:16]}.",
        "",
        "Each theorem is one case of one obligation; its hypotheses are the premises that the case uses. That the",
        "cases are complete, and what the solvers were asked, is in the proof file. -/",
    ]
    blocks = [_theorem(*entry) for entry in _entries(proof)]
    return "\n".join(head) + "\n\n" + "\n\n".join(blocks) + "\n"


def _entries(proof: dict[str, Any]) -> Iterator[tuple[str, int, str, dict[str, Any], dict[str, str]]]:
    """Every equation once: obligation, number, claim, entry, what its variables stand for."""
    for obligation in proof["obligations"]:
        seen: dict[str, None] = {}
        for certificate in obligation["proof"]:
            for entry in _equations(certificate["case"]):
                key = repr(entry)
                if key not in seen:
                    seen[key] = None
                    yield obligation["name"], len(seen), obligation["claim"], entry, certificate.get("variables", {})


def _equations(case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "if" in case:
        yield from _equations(case["then"])
        yield from _equations(case["else"])
    else:
        for goal, cofactors in case.get("equations", {}).items():
            yield {"equation": goal, "cofactors": cofactors}


def _theorem(name: str, number: int, claim: str, entry: dict[str, Any], legend: dict[str, str]) -> str:
    facts = [fact for _, fact in entry["cofactors"]]
    words = dict.fromkeys(w for text in (entry["equation"], *facts) for w in re.findall(r"[A-Za-z_]\w*", text))
    told = "; ".join(f"{w} is {_comment(legend[w])}" for w in words if w in legend)
    variables = f" ({' '.join(map(_name, words))} : ℝ)" if words else ""
    given = "".join(f"\n    (h{n} : {_lean(fact)})" for n, fact in enumerate(facts, 1))
    terms = [f"({_lean(c)}) * h{n}" for n, (c, _) in enumerate(entry["cofactors"], 1)]
    tactic = f"linear_combination {' + '.join(terms)}" if terms else "ring"
    title = f"/-- {_comment(name)}: {_comment(claim)}" + (f" ({told})" if told else "") + " -/"
    slug = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "claim"
    goal = _lean(entry["equation"])
    if not words:
        goal = f"({goal.replace(' = ', ' : ℝ) = ', 1)}"
    return f"{title}\ntheorem {slug}_{number}{variables}{given} :\n    {goal} := by\n  {tactic}"


def _lean(text: str) -> str:
    return re.sub(r"[A-Za-z_]\w*", lambda m: _name(m[0]), text).replace("**", "^").replace(" == ", " = ")


def _name(word: str) -> str:
    return f"«{word}»" if word in _WORDS.split() else word


def _comment(text: str) -> str:
    return text.replace("-/", "- /").replace("\n", " ")
