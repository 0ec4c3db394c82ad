"""What a kernel stores: the finish of its last state, each output at its place, or the state of a part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from refold.algebra import State
from refold.algebra.plan import Finish
from refold.algebra.roles import is_selected
from refold.schedule import integers
from refold.schedule.conditions import zero
from refold.schedule.outcome import Loop, Written
from refold.schedule.terms import Term, make, symbol
from refold.schedule.tiles import terms
from refold.spec import Index, Read
from refold.verify.kernel.case import Case
from refold.verify.kernel.cases import Truths, cases
from refold.verify.kernel.definition import Definition
from refold.verify.kernel.places import At
from refold.verify.kernel.prover import Finding, output
from refold.verify.kernel.subject import LAST_TILE, Subject, digits

# Whether a program is the first along the fold axis.
FIRST = zero(symbol("program 1", "int"))


def stored(subject: Subject, last: Loop | None) -> Iterator[Finding]:
    """One obligation for each output, or for each component of the state of a part."""
    keeps = subject.function is subject.made.parts
    outputs = {f.name: f for f in subject.prover.laws.project}
    names = [f"part_{n}" for n in subject.prover.components] if keeps else [*outputs]
    stores = subject.small.outcome.stores
    for name in dict.fromkeys((*names, *(output_of(s) for s in stores))):
        claim = f"what is stored is the {'state of the part' if keeps else 'finish of the last state, at its place'}"
        thing = name.removeprefix("part_") if keeps else output(subject.made, name)
        found = subject.begin(thing, "store", claim)
        mine = [s for s in stores if output_of(s) == name]
        found.require(bool(mine), "the kernel has none")
        found.require(name in names, f"there is no {name}")
        for store in mine if name in names else []:
            found.require(store.how == "=" and last is not None, "it is no plain store after a loop")
            if last is not None:
                if keeps:
                    _part(subject, name.removeprefix("part_"), store, last, found)
                else:
                    _output(subject, outputs[name], store, last, found)
        yield found


def output_of(store: Written) -> str:
    """The tensor that a store writes to."""
    return str(terms(store.places)[0].data).removesuffix("_ptr")


def _part(subject: Subject, name: str, store: Written, last: Loop, found: Finding) -> None:
    """The state after the last loop, as it is, in every row that there is."""
    ends = [terms(c.last) for c in last.carried if c.name == name]
    same = len(ends) == 1 and all(a is b for a, b in zip(terms(store.values), ends[0], strict=True))
    found.require(same and not store.loops, "it is another value")
    case = Case(subject.fixed(), subject.asked(terms(store.conditions)))
    found.require(all(map(case.holds, terms(store.conditions))), "a row that there is may be left out")


def _output(subject: Subject, finish: Finish, store: Written, last: Loop, found: Finding) -> None:
    """In every case and lane: the finish at the position that the place says, stored wherever there is one."""
    roles = subject.made.roles
    along = roles.fold in finish.axes
    found.require(along or not store.loops, "it is stored before the last iteration")
    axes = [a for a in (roles.fold, *roles.inner) if a in finish.axes]
    values = [with_last(subject, value, last) for value in terms(store.values)]
    lanes = [*zip(terms(store.places), values, terms(store.conditions), strict=True)]

    asked = subject.asked(t for lane in lanes for t in lane[1:])

    def judge(truths: Truths) -> None:
        both = subject.both(Case(truths, asked))
        for n, (place, value, condition) in enumerate(lanes):
            lane: dict[Index, Term] = digits([a for a in axes if a != roles.fold], n)
            if along:
                lane[roles.fold] = position_of(place, symbol(subject.made.strides[finish.name, roles.fold], "int"))
            # A position of which nothing is asked is there, or there is nothing to show.
            beyond = subject.inside(lane[roles.fold]) if along else None
            exists = beyond is None or not both.case.asks(beyond) or both.case.holds(beyond)
            # What has no fold axis is in every program along it: it is enough that the first one stores it.
            duty = exists and (along or not both.case.asks(FIRST) or both.case.holds(FIRST))
            found.require(both.case.holds(condition) or not duty, "an element that there is may be left out")
            if not (exists and both.case.holds(condition)):
                continue
            where = {**subject.where(), **lane}
            offset = subject.places.offset(finish.name, finish.axes, (where[a] for a in finish.axes))
            here = make("pointer", "pointer", (offset,), f"{finish.name}_ptr")
            found.require(place is here, "it is stored at another place")
            found.require(subject.own(value, "last", last, lane), "it reads the state of another lane")
            subject.same(both.kernel.value(value), _finish(subject, finish, both, where), found)

    for _ in cases(judge, subject.fixed()):
        pass


def _finish(subject: Subject, finish: Finish, both: Definition, where: At) -> Any:
    """The finish of the last state."""
    elements = {e.symbol: e.expr for e in subject.made.plan.elements}

    def put(expr: Any) -> Any:
        if expr in elements:
            return both.value(elements[expr], where)
        if isinstance(expr, Read) and any(map(is_selected, expr.indices)):
            return both.selected(expr, [put(i) for i in expr.indices], where)
        if not expr.args or not expr.free_symbols & {*subject.prover.laws.symbols, *elements}:
            still = isinstance(expr, State) or not (expr.free_symbols or expr.has(Read))
            return expr if still else both.value(expr, where)
        if isinstance(expr, sp.Mul):  # the launcher passes what several factors are together
            scalar, factors = both.scalars.split(expr)
            return subject.data.product(scalar, *map(put, factors))
        return subject.data.built(expr.func, *map(put, expr.args))

    return subject.data.choice(*map(put, (finish.guard, finish.expr, finish.empty)))


def with_last(subject: Subject, value: Term, last: Loop) -> Term:
    """What is stored, with names for the state after the last tile where that is written out."""
    if last.number != LAST_TILE:
        return value
    pairs = (zip(subject.small.lanes(c.name), terms(c.last), strict=True) for c in last.carried)
    return integers.replaced(value, {t: name for some in pairs for t, name in some})


def position_of(place: Term, stride: Term) -> Term:
    """The position along an axis, as the factor of its stride in a place."""
    (offset,) = place.args
    parts = integers.products(offset)
    return integers.polynomial({tuple(a for a in p if a is not stride): c for p, c in parts.items() if stride in p})
