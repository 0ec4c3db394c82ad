"""Z3's terms as SMT-LIB 2 text: the same text for the same formulas, whatever the solver has seen before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import z3


def script(formulas: list[Any]) -> str:
    """A script that asks whether formulas without quantifiers can hold together."""
    declared = dict.fromkeys(line for f in formulas for line in _declarations(f))
    lines = ["(set-logic ALL)", *declared, *(f"(assert {_text(f)})" for f in formulas), "(check-sat)"]
    return "\n".join(lines) + "\n"


def _terms(root: Any) -> Iterator[Any]:
    """Every different term below a root, arguments first."""
    done: set[int] = set()
    stack = [(root, False)]
    while stack:
        term, ready = stack.pop()
        if term.get_id() in done:
            continue
        if ready:
            done.add(term.get_id())
            yield term
        else:
            stack.append((term, True))
            stack += [(a, False) for a in reversed(term.children())]


def constants(root: Any) -> Iterator[Any]:
    """The variables of a formula, in the order in which they are met."""
    return (t for t in _terms(root) if z3.is_const(t) and t.decl().kind() == z3.Z3_OP_UNINTERPRETED)


def _declarations(root: Any) -> Iterator[str]:
    for term in _terms(root):
        declaration = term.decl()
        if declaration.kind() == z3.Z3_OP_UNINTERPRETED:
            domain = " ".join(declaration.domain(n).sexpr() for n in range(declaration.arity()))
            yield f"(declare-fun {_symbol(declaration.name())} ({domain}) {declaration.range().sexpr()})"


def _text(root: Any) -> str:
    """A term, with names for what occurs in it more than once."""
    terms = list(_terms(root))
    uses = Counter(a.get_id() for t in terms for a in t.children())
    found: dict[int, str] = {}
    bound: list[str] = []
    for term in terms:
        text = _apply(term, [found[a.get_id()] for a in term.children()])
        if uses[term.get_id()] > 1 and term.children():
            bound.append(f"(let ((?{len(bound) + 1} {text})) ")
            text = f"?{len(bound)}"
        found[term.get_id()] = text
    return "".join(bound) + found[root.get_id()] + ")" * len(bound)


def _apply(term: Any, args: list[str]) -> str:
    if not args:
        if z3.is_rational_value(term) or z3.is_int_value(term):
            return _number(term)
        if z3.is_and(term) or z3.is_or(term):
            return "true" if z3.is_and(term) else "false"  # of nothing
        return term.sexpr() if z3.is_true(term) or z3.is_false(term) else _symbol(term.decl().name())
    if len(args) == 1 and term.decl().kind() in (z3.Z3_OP_ADD, z3.Z3_OP_MUL, z3.Z3_OP_AND, z3.Z3_OP_OR):
        return args[0]
    return f"({_symbol(term.decl().name())} {' '.join(args)})"


def _number(term: Any) -> str:
    whole = z3.is_int_value(term)
    mark = "" if whole else ".0"
    top, bottom = (term.as_long(), 1) if whole else (term.numerator_as_long(), term.denominator_as_long())
    text = f"{abs(top)}{mark}" if bottom == 1 else f"(/ {abs(top)}{mark} {bottom}{mark})"
    return f"(- {text})" if top < 0 else text


def _symbol(name: str) -> str:
    if name == "if":
        return "ite"
    return name if all((c.isalnum() and c.isascii()) or c in "+-*/=<>_^?.!" for c in name) else f"|{name}|"
