"""Checks the certificates of a proof file with Python's standard library alone: `python recheck.py NAME.proof.json`.

This file imports nothing of refold and is copied beside every emitted kernel, so that whoever doubts a proof has one
short file to read. It checks that

- every case distinction is complete: a condition, what follows where it holds, and what follows where it does not;
- every equation `left = right` is an identity: `left - right = sum_k cofactor_k * fact_k`, multiplied out, where each
  `fact_k = 0` is a premise of that case or one of the conditions that lead there;
- every case that is closed in another way names a script in SMT-LIB that the file holds under the hash of its text,
  with the answers of the solvers: two `unsat`, or one, counted apart, and no `sat`; a case with nothing left to prove,
  because both sides of its claim are one expression, is counted apart too;
- every obligation is proved, and the file is the one that its key was made from.

It does not run a solver, and it does not check that the equations say what the claim above them says: the premises and
the variables are printed with each obligation for that (docs/theory.md, section 7).
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections import Counter
from fractions import Fraction
from typing import Any

FORMAT = 2
Monomial = tuple[tuple[str, int], ...]
Polynomial = dict[Monomial, Fraction | int]


class Rejected(Exception):
    """A certificate that does not hold, or a file that is none."""


def multiply(a: Polynomial, b: Polynomial) -> Polynomial:
    """The product, multiplied out."""
    product: Polynomial = {}
    for left, x in a.items():
        for right, y in b.items():
            powers = dict(left)
            for variable, n in right:
                powers[variable] = powers.get(variable, 0) + n
            monomial = tuple(sorted(powers.items()))
            product[monomial] = product.get(monomial, 0) + x * y
    return {m: c for m, c in product.items() if c}


def add(a: Polynomial, b: Polynomial, factor: int = 1) -> Polynomial:
    """`a + factor b`."""
    total = dict(a)
    for monomial, c in b.items():
        total[monomial] = total.get(monomial, 0) + factor * c
    return {m: c for m, c in total.items() if c}


def polynomial(text: str) -> Polynomial:
    """Reads `+`, `-`, `*`, whole powers, numbers and fractions of numbers; all else is refused."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise Rejected(f"not a polynomial: {text[:80]}") from error
    return _value(tree)


def _value(node: ast.expr) -> Polynomial:
    match node:
        case ast.Constant(value=int() as n) if not isinstance(n, bool):
            return {(): n} if n else {}
        case ast.Name(id=name):
            return {((name, 1),): 1}
        case ast.UnaryOp(op=ast.USub(), operand=x):
            return add({}, _value(x), -1)
        case ast.BinOp(left=x, op=ast.Add(), right=y):
            return add(_value(x), _value(y))
        case ast.BinOp(left=x, op=ast.Sub(), right=y):
            return add(_value(x), _value(y), -1)
        case ast.BinOp(left=x, op=ast.Mult(), right=y):
            return multiply(_value(x), _value(y))
        case ast.BinOp(left=x, op=ast.Div(), right=ast.Constant(value=int() as d)) if d:
            return multiply(_value(x), {(): Fraction(1, d)})
        case ast.BinOp(left=x, op=ast.Pow(), right=ast.Constant(value=int() as n)) if 0 <= n < 100:
            base, power = _value(x), polynomial("1")
            for _ in range(n):
                power = multiply(power, base)
            return power
    raise Rejected(f"not a polynomial: {ast.unparse(node)[:80]}")


def equation(text: str) -> Polynomial:
    """`left - right` of `left = right`."""
    left, sign, right = text.partition(" = ")
    if not sign:
        raise Rejected(f"not an equation: {text[:80]}")
    return add(polynomial(left), polynomial(right), -1)


def check_equation(entry: dict[str, Any], facts: list[Polynomial]) -> None:
    """That an equation is the combination of facts that its cofactors say."""
    rest = equation(entry["equation"])
    for cofactor, fact in entry["cofactors"]:
        zero = equation(fact)
        if zero not in facts:
            raise Rejected(f"{fact} is used and is neither a premise nor a condition of the case")
        rest = add(rest, multiply(polynomial(cofactor), zero), -1)
    if rest:
        raise Rejected(f"{entry['equation'][:200]} is not the combination that its cofactors say")


def check_case(case: dict[str, Any], facts: list[Polynomial], scripts: dict[str, Any], tally: Counter[str]) -> None:
    """Goes down the case distinction of one obligation."""
    if "if" in case:
        condition = case["if"]
        for branch, holds in (("then", True), ("else", False)):
            # Only what is joined by `and` holds by itself; equations below anything else are written with two signs.
            found = [equation(part) for part in condition.split(" and ") if " = " in part] if holds else []
            check_case(case[branch], facts + found, scripts, tally)
        return
    tally["cases"] += 1
    facts = facts + [equation(premise) for premise in case.get("premises", [])]
    for entry in case.get("equations", []):
        check_equation(entry, facts)
        tally["equations"] += 1
    for name in case.get("unsat", []):
        script = scripts.get(name)
        if script is None or not name or not digest(script["smt2"]).startswith(name):
            raise Rejected(f"script {name} is missing, or its text is another")
        answers = script["answers"]
        if "sat" in answers.values() or "unsat" not in answers.values():
            raise Rejected(f"script {name}: {', '.join(f'{s} says {a}' for s, a in answers.items())}")
        tally["two solvers" if list(answers.values()).count("unsat") > 1 else "one solver"] += 1
    if case.get("same") is True:
        tally["same"] += 1
    elif not case.get("equations") and not case.get("unsat"):
        raise Rejected("a case is closed without a reason")


def digest(text: str) -> str:
    """The hash that names a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def key(proof: dict[str, Any]) -> str:
    """The hash of all that a proof file says, but for the key itself."""
    return digest(json.dumps({k: v for k, v in proof.items() if k != "key"}, sort_keys=True, ensure_ascii=False))


def recheck(proof: dict[str, Any]) -> Counter[str]:
    """Counts what was checked, obligations by their kind; raises `Rejected` at the first thing that does not hold."""
    tally: Counter[str] = Counter()
    try:
        if proof["format"] != FORMAT:
            raise Rejected(f"this checks format {FORMAT}, and the file is of format {proof['format']}")
        if proof["key"] != key(proof):
            raise Rejected("the file is not the one that its key was made from")
        if not proof["obligations"]:
            raise Rejected("nothing is claimed")
        for obligation in proof["obligations"]:
            where = f"obligation {obligation['name']}"
            if obligation["verdict"] != "proved":
                raise Rejected(f"{where} is {obligation['verdict']}")
            tally["obligations"] += 1
            for certificate in obligation["proof"]:
                try:
                    check_case(certificate["case"], [], proof["scripts"], tally)
                except Rejected as error:
                    raise Rejected(f"{where}: {error}") from None
            if not obligation["proof"]:
                if not obligation.get("note"):
                    raise Rejected(f"{where} has neither a certificate nor a reason")
                tally["without a certificate"] += 1
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise Rejected(f"not a proof file of this format: {type(error).__name__}: {error}") from None
    return tally


def main(path: str) -> int:
    """Prints what holds; 0 if everything does, 1 if something does not, 2 if there is nothing to read."""
    try:
        with open(path, encoding="utf-8") as file:
            tally = recheck(json.load(file))
    except (OSError, ValueError) as error:
        print(f"{path}: cannot be read: {error}", file=sys.stderr)
        return 2
    except Rejected as error:
        print(f"{path}: rejected: {error}")
        return 1
    print(f"{path}: holds")
    for what, count in tally.items():
        print(f"  {count:5} {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else "usage: python recheck.py NAME.proof.json")
