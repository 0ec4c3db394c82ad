"""Checks the certificates of a proof file with Python's standard library alone: `python recheck.py NAME.proof.json`.

Formulas are Python: polynomials, comparisons, `and`, `or`, `not`, `x if c else y`, `implies(a, b)`, `iff(a, b)`. An
obligation is a tree of conditions; a leaf says what is `given` there and what it has to `show`. A goal is closed by
cofactors: `left - right = sum_k cofactor_k * fact_k`, multiplied out here, with facts that are given or conditions on
the way; or it is negated in a script, printed here, to the hash of whose text the file has solvers' answers. A leaf
with nothing to show has two sides that are the `same`, or facts that are `unsat`. It runs no solver. Whose obligations
these are, and what has no certificate, is on trust: `refold recheck FILE --against SPEC` asks (docs/theory.md, 8).
"""

import ast
import hashlib
import json
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

Polynomial = dict[tuple[str, ...], Fraction | int]
FORMAT, SOLVERS, INSPECTED = 6, {"z3", "cvc5"}, {"structure", "empty"}
NUMBERS = {"Add": "+", "Sub": "-", "USub": "-", "Mult": "*", "Div": "/", "Mod": "mod", "FloorDiv": "div"}
RELATIONS = {"Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Eq": "=", "NotEq": "distinct"}
LOGIC = {"And": "and", "Or": "or", "Not": "not", "implies": "=>", "iff": "="}


class Rejected(Exception):
    """A certificate that does not hold, or a file that is none."""


def require(condition: object, complaint: str) -> None:
    """Rejects a file of which something is not so."""
    if not condition:
        raise Rejected(complaint[:300])


def parse(text: str) -> ast.expr:
    """A formula as a tree."""
    return ast.parse(text.strip(), mode="eval").body


def multiply(a: Polynomial, b: Polynomial) -> Polynomial:
    """The product, multiplied out."""
    product: Polynomial = {}
    for left, x in a.items():
        for right, y in b.items():
            monomial = tuple(sorted(left + right))
            product[monomial] = product.get(monomial, 0) + x * y
    return {m: c for m, c in product.items() if c}


def add(a: Polynomial, b: Polynomial, factor: int = 1) -> Polynomial:
    """`a + factor b`."""
    return {m: c for m in {**a, **b} if (c := a.get(m, 0) + factor * b.get(m, 0))}


def polynomial(node: ast.expr) -> Polynomial:
    """Multiplies out `+`, `-`, `*`, whole powers, numbers and fractions of numbers; all else is refused."""
    match node:
        case ast.Constant(value=int() as n) if not isinstance(n, bool):
            return {(): n} if n else {}
        case ast.Name(id=name):
            return {(name,): 1}
        case ast.UnaryOp(op=ast.USub(), operand=x):
            return add({}, polynomial(x), -1)
        case ast.BinOp(left=x, op=ast.Add() | ast.Sub() as op, right=y):
            return add(polynomial(x), polynomial(y), 1 if isinstance(op, ast.Add) else -1)
        case ast.BinOp(left=x, op=ast.Mult(), right=y):
            return multiply(polynomial(x), polynomial(y))
        case ast.BinOp(left=x, op=ast.Div(), right=ast.Constant(value=int() as d)) if d:
            return multiply(polynomial(x), {(): Fraction(1, d)})
        case ast.BinOp(left=x, op=ast.Pow() as op, right=ast.Constant(value=int() as n)) if 0 <= n < 100:
            return multiply(polynomial(x), polynomial(ast.BinOp(x, op, ast.Constant(n - 1)))) if n else {(): 1}
    raise Rejected(f"not a polynomial: {ast.unparse(node)[:80]}")


def equation(text: str) -> Polynomial:
    """`left - right` of `left == right`."""
    match parse(text):
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            return add(polynomial(left), polynomial(right), -1)
    raise Rejected(f"not an equation: {text[:80]}")


def conjuncts(text: str) -> list[str]:
    """What holds by itself where a condition holds; it has to speak of something."""
    node = parse(text)
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return [fact for part in node.values for fact in conjuncts(ast.unparse(part))]
    require(any(isinstance(n, ast.Name) for n in ast.walk(node)), f"{text} speaks of no variable")
    return [ast.unparse(node)]


def smt(node: ast.expr, sorts: dict[str, str], *, logical: bool) -> str:
    """A condition or a number in SMT-LIB; `sorts` has the sort of numbers under "", and takes those of variables."""
    parts, sign = [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.expr)], ""
    match node:
        case ast.Constant(value=bool() | int() as n) if isinstance(n, bool) == logical:
            return str(n).lower() + ".0" * (not logical and sorts[""] == "Real")
        case ast.Name(id=name):
            known = sorts.setdefault(name, "Bool" if logical else sorts[""])
            require((known == "Bool") == logical, f"{name} is both a number and a condition")
            return f"${name}"
        case ast.IfExp():
            return f"(ite {' '.join(smt(n, sorts, logical=logical or n is node.test) for n in parts)})"
        case ast.Call(func=ast.Name(id=name)):
            sign, parts = name, parts[1:]
        case ast.BinOp(op=op) | ast.UnaryOp(op=op) | ast.BoolOp(op=op) | ast.Compare(ops=[op]):
            sign = type(op).__name__
    for signs, gives, takes in ((NUMBERS, False, False), (RELATIONS, True, False), (LOGIC, True, True)):
        if sign in signs and gives == logical:
            return f"({signs[sign]} {' '.join(smt(part, sorts, logical=takes) for part in parts)})"
    raise Rejected(f"not a formula: {ast.unparse(node)[:80]}")


def script(facts: list[str], goals: list[str], numbers: str) -> str:
    """The question whether facts can hold where not all of some goals do; every number in it is of one sort."""
    sorts, negated = {"": numbers}, [f"not ({' and '.join(f'({goal})' for goal in goals)})"] * bool(goals)
    asserted = [f"(assert {smt(parse(text), sorts, logical=True)})" for text in [*facts, *negated]]
    declared = [f"(declare-fun ${name} () {sort})" for name, sort in sorts.items() if name]
    return "\n".join(["(set-logic ALL)", *declared, *asserted, "(check-sat)", ""])


def check_case(case: dict[str, Any], facts: list[str], numbers: str, answers: Any, tally: Counter[str]) -> None:
    """Goes down the cases of an obligation to its leaves, and checks that each shows its goals."""
    if "if" in case:
        check_case(case["then"], facts + conjuncts(case["if"]), numbers, answers, tally)
        return check_case(case["else"], facts + conjuncts(f"not ({case['if']})"), numbers, answers, tally)
    facts = facts + [fact for text in case.get("given", []) for fact in conjuncts(text)]
    goals, scripts, closed = case.get("show", []), case.get("unsat", []), set(case.get("equations", {}))
    for goal in closed:
        rest = equation(goal)
        for cofactor, fact in case["equations"][goal]:
            require(fact in facts and equation(fact).keys() != {()}, f"{fact} is used, and does not hold in the case")
            rest = add(rest, multiply(polynomial(parse(cofactor)), equation(fact)), -1)
        require(not rest, f"{goal} is not the combination that its cofactors say")
    for used, negated in scripts:
        require(set(used) <= set(facts) and used + negated, "a script uses what does not hold in the case")
        said = answers.get(digest(script(used, negated, numbers)), {})
        require({"unsat"} <= set(said.values()) <= {"unsat", "unknown"} and set(said) <= SOLVERS, f"{negated}: {said}")
        tally["two solvers" if list(said.values()) == ["unsat"] * 2 else "one solver"] += 1
        closed |= set(negated or goals)
    require(goals or [] in [s[1] for s in scripts] or {x == y for x, y in case["same"]} == {True}, "nothing is shown")
    require(closed >= set(goals), f"nothing shows {set(goals) - closed}")
    tally.update({"cases": 1, "equations": len(case.get("equations", {})), "same": not goals and not scripts})


def demanded(program: dict[str, Any]) -> set[str]:
    """The obligations without which a program of this shape is not proved (docs/theory.md, section 11)."""
    require(program["accumulators"] and program["finish"], "it is the proof of nothing")
    names = {f"{what} {one}" for what in ("reading", "finish", "guard", "index", "refinement") for one in program[what]}
    for a, (reducer, *anchors) in program["accumulators"].items():
        names |= {f"unit {a}", f"lift {a}", f"merge {a}: associative", f"merge {a}: commutative"}
        if anchors and reducer != "argmax":
            names |= {f"correction {a}", f"conditions {a}: merge", f"conditions {a}: lift"}
        if anchors and reducer in ("sum", "count"):
            names |= {f"correction {a}: identity", f"correction {a}: composition"}
    return names | {"structure"}


def digest(content: Any) -> str:
    """The hash of a text or of data; the key of a proof file is that of the file with an empty key."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def recheck(proof: dict[str, Any]) -> Counter[str]:
    """Counts what was checked, obligations by their kind; raises `Rejected` at the first thing that does not hold."""
    tally, where = Counter[str](), ""
    try:
        require(proof["format"] == FORMAT, f"this checks format {FORMAT}, and the file is of format {proof['format']}")
        require(proof["key"] == digest({**proof, "key": ""}), "the file is not the one that its key was made from")
        missing = demanded(proof["program"]) - {o["name"] for o in proof["obligations"]}
        require(not missing, f"obligations that the program demands are missing: {sorted(missing)}")
        for obligation in proof["obligations"]:
            where, kind = f"obligation {obligation['name']}: ", obligation["name"].split()[0]
            numbers = "Int" if kind == "index" else "Real"
            for part in obligation["proof"]:
                check_case(part["case"], [], numbers, proof["answers"], tally)
            require(obligation["verdict"] == "proved", f"it is {obligation['verdict']}")
            require(obligation["proof"] or kind == "refinement" or obligation["name"] in INSPECTED, "no certificate")
            tally.update({"obligations": 1, "without a certificate, on trust": not obligation["proof"]})
    except Exception as error:  # whatever the matter is, it is with the file
        raise Rejected(f"{where}{error if isinstance(error, Rejected) else repr(error)}") from None
    return tally


def main(path: str) -> int:
    """Prints what holds; 0 if everything does, 1 if something does not, 2 if there is nothing to read."""
    try:
        tally = recheck(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, Rejected) as error:
        print(f"{path}: {'rejected' if isinstance(error, Rejected) else 'cannot be read'}: {error}", file=sys.stderr)
        return 1 if isinstance(error, Rejected) else 2
    print(f"{path}: holds", *(f"  {count:5} {what}" for what, count in tally.items() if count), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else "usage: python recheck.py NAME.proof.json")
