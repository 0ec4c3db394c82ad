"""Terms as formulas of a solver: integers are linear over their atoms and over one more integer for every product."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from refold.schedule.integers import Product, products, scale
from refold.schedule.terms import Term, below
from refold.verify.smt import formulas as z3

_WORDS = {"//": "quotient", "%": "rest", ">=0": "positive", "==0": "zero"}


@dataclass(slots=True)
class Linear:
    """Writes terms as formulas, each once; what is known of the products in them, and what these are, stands beside."""

    names: dict[Term, str] = field(default_factory=dict)
    owners: dict[str, object] = field(default_factory=dict)
    numbers: dict[Product, Any] = field(default_factory=dict)
    truths: dict[Term, Any] = field(default_factory=dict)
    signs: dict[Product, list[Any]] = field(default_factory=dict)
    exact: dict[Product, Any] = field(default_factory=dict)

    def name(self, t: Term) -> str:
        """A name that is the same for the same term, in whatever order terms were made."""
        return name_of(t, self.names)

    def own(self, name: str, thing: object) -> str:
        """The name, with a mark where it is another thing's: two symbols may be alike as identifiers."""
        while self.owners.setdefault(name, thing) != thing:
            name += "_"
        return name

    def number(self, t: Term) -> Any:
        """An integer."""
        parts = sorted(products(t).items(), key=lambda part: sorted(map(self.name, part[0])))
        terms = [self.product(p) if c == 1 else self.product(p) * c for p, c in parts]
        return terms[0] if len(terms) == 1 else z3.Sum(terms) if terms else z3.IntVal(0)

    def signed(self, t: Term) -> list[tuple[list[str], int]]:
        """A sum of products by the names in it."""
        return _signed(t, self.name)

    def ordered(self, factors: Product) -> Product:
        return tuple(sorted(factors, key=self.name)) if len(factors) > 1 else factors

    def product(self, factors: Product) -> Any:
        if not factors:
            return z3.IntVal(1)
        ordered = self.ordered(factors)
        if ordered not in self.numbers:
            self.numbers[ordered] = z3.Int(self.own("__".join(map(self.name, ordered)), ordered))
            if len(ordered) > 1:
                self.know(ordered)
        return self.numbers[ordered]

    def know(self, ordered: Product) -> None:
        """The sign of a product, from the signs of its factors."""
        whole, atoms = self.numbers[ordered], [self.product((a,)) for a in dict.fromkeys(ordered)]
        self.exact[ordered] = whole == z3.Product([self.product((a,)) for a in ordered])
        self.signs[ordered] = [
            z3.Implies(z3.And(*(a >= 0 for a in atoms)), whole >= 0),
            z3.Implies(z3.And(*(a >= 1 for a in atoms)), whole >= 1),
            z3.Implies(z3.Or(*(a == 0 for a in atoms)), whole == 0),
        ]

    def within(self, terms: Iterable[Term]) -> list[Product]:
        """The products in terms."""
        found = {self.ordered(p) for t in below(*terms) if t.op == "polynomial" for p in products(t) if len(p) > 1}
        return sorted(found, key=lambda p: [self.name(a) for a in p])

    def holds(self, t: Term) -> Any:
        """A condition."""
        if t not in self.truths:
            self.truths[t] = self._holds(t)
        return self.truths[t]

    def _holds(self, t: Term) -> Any:
        match t.op:
            case "true" | "false":
                return z3.BoolVal(t.op == "true")
            case ">=0":
                return self.number(t.args[0]) >= 0
            case "==0":
                positive, negative = t.args[0], scale(t.args[0], -1)
                # Which of the two stands in a term hangs on which of its atoms was made first.
                return self.number(min((positive, negative), key=self.signed)) == 0
            case "and" | "or":
                parts = [self.holds(a) for a in sorted(t.args, key=self.name)]
                return (z3.And if t.op == "and" else z3.Or)(*parts)
            case "not":
                return z3.Not(self.holds(t.args[0]))
        return z3.Bool(self.own(self.name(t), t))

    def all(self, terms: Iterable[Term]) -> list[Any]:
        return [self.holds(t) for t in sorted(dict.fromkeys(terms), key=self.name)]


def name_of(t: Term, known: dict[Term, str]) -> str:
    """An identifier for a term: the name of a symbol; of another what it does, and a hash of on what."""
    left = [t]
    while left:
        top = left[-1]
        missing = [a for a in top.args if a not in known]
        if top in known or not missing:
            if top not in known:
                known[top] = _words(top, known)
            left.pop()
        else:
            left += missing
    return known[t]


def _signed(t: Term, name: Callable[[Term], str]) -> list[tuple[list[str], int]]:
    return sorted((sorted(map(name, p)), c) for p, c in products(t).items())


def _words(t: Term, known: dict[Term, str]) -> str:
    args = [known[a] for a in t.args]
    match t.op:
        case "symbol":
            return _identifier(str(t.data).replace("′", "_other"))
        case "polynomial":
            words = str(_signed(t, lambda a: known[a]))
        case "==0":
            words = str(min(_signed(x, lambda a: known[a]) for x in (t.args[0], scale(t.args[0], -1))))
        case "and" | "or" | "least" | "greatest":
            words = str(sorted(args))
        case _:
            words = str((args, t.data))
    # A certificate has names that begin with a letter.
    word = _WORDS.get(t.op) or _identifier(t.op).strip("_") or "compared"
    return f"{word}_{hashlib.sha256(words.encode()).hexdigest()[:8]}"


def _identifier(text: str) -> str:
    return re.sub(r"\W", "_", text)
