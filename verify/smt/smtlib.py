"""Z3's terms as SMT-LIB 2 text: the same text for the same formulas, whatever the solver has seen before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from refold.verify.smt import formulas as z3


def script(formulas: list[Any]) -> str:
    """A script that asks whether formulas without quantifiers can hold together."""
    written = [_Written(f) for f in formulas]
    declared = dict.fromkeys(line for w in written for line in w.declarations())
    lines = ["(set-logic ALL)", *declared, *(f"(assert {w.text()})" for w in written), "(check-sat)"]
    return "\n".join(lines) + "\n"


class _Written:
    """A formula with each of its different terms looked at once: `terms` by identity, arguments first."""

    def __init__(self, root: Any) -> None:
        self.root = z3.key(root)
        self.terms: dict[int, tuple[Any, list[int]]] = {}
        self.uses: Counter[int] = Counter()
        stack: list[tuple[Any, tuple[Any, ...] | None]] = [(root, None)]
        while stack:
            term, args = stack.pop()
            key = z3.key(term)
            if key in self.terms:
                continue
            if args is None:
                args = z3.children(term)
                stack.append((term, args))
                stack += [(a, None) for a in reversed(args)]
            else:
                self.terms[key] = term, [z3.key(a) for a in args]
                self.uses.update(self.terms[key][1])

    def declarations(self) -> Iterator[str]:
        for term, _ in self.terms.values():
            if _is_free(term):
                declaration = term.decl()
                domain = " ".join(declaration.domain(n).sexpr() for n in range(declaration.arity()))
                yield f"(declare-fun {_symbol(declaration.name())} ({domain}) {declaration.range().sexpr()})"

    def text(self) -> str:
        """The formula, with names for what occurs in it more than once."""
        found: dict[int, str] = {}
        bound: list[str] = []
        for key, (term, args) in self.terms.items():
            text = _apply(term, [found[a] for a in args])
            if self.uses[key] > 1 and args:
                bound.append(f"(let ((?{len(bound) + 1} {text})) ")
                text = f"?{len(bound)}"
            found[key] = text
        return "".join(bound) + found[self.root] + ")" * len(bound)


def _is_free(term: Any) -> bool:
    return z3.kind(term) == z3.Z3_OP_UNINTERPRETED


def _apply(term: Any, args: list[str]) -> str:
    if not args:
        if z3.is_number(term):
            return _number(term)
        if z3.is_and(term) or z3.is_or(term):
            return "true" if z3.is_and(term) else "false"  # of no part
        return term.sexpr() if z3.is_true(term) or z3.is_false(term) else _symbol(term.decl().name())
    if len(args) == 1 and z3.kind(term) in (z3.Z3_OP_ADD, z3.Z3_OP_MUL, z3.Z3_OP_AND, z3.Z3_OP_OR):
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
