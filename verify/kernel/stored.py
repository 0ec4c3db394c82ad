"""What a kernel stores: the finish of its last state, each output at its place, or the state of a part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from refold.algebra import State
from refold.algebra.plan import Finish
from refold.schedule import integers
from refold.schedule.outcome import Loop, Written
from refold.schedule.terms import Term, make, symbol
from refold.schedule.tiles import terms
from refold.spec import Index, Where
from refold.verify.kernel.cases import Truths, cases
from refold.verify.kernel.prover import Finding
from refold.verify.kernel.reading import Reading
from refold.verify.kernel.subject import LAST_TILE, Lane, Subject, digits


def stored(subject: Subject, last: Loop | None) -> Iterator[Finding]:
    """One obligation for each output, or for each component of the state of a part."""
    keeps = subject.function is subject.made.parts
    outputs = {f.name: f for f in subject.prover.laws.project}
    names = [f"part_{n}" for n in subject.prover.components] if keeps else [*outputs]
    stores = subject.small.outcome.stores
    for name in dict.fromkeys((*names, *(output_of(s) for s in stores))):
        claim = f"what is stored is the {'state of the part' if keeps else 'finish of the last state, at its place'}"
        thing = name.removeprefix("part_") if keeps else f"output {subject.made.users.get(name, name)}"
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
    reading = subject.reading(subject.fixed(), terms(store.conditions))
    found.require(all(map(reading.holds, terms(store.conditions))), "a row that there is may be left out")


def _output(subject: Subject, finish: Finish, store: Written, last: Loop, found: Finding) -> None:
    """In every case and lane: the finish at the position that the place says, stored wherever there is one."""
    roles = subject.made.roles
    along = roles.fold in finish.axes
    found.require(along or not store.loops, "it is stored before the last iteration")
    axes = [a for a in (roles.fold, *roles.inner) if a in finish.axes]
    values = [with_last(subject, value, last) for value in terms(store.values)]
    lanes = [*zip(terms(store.places), values, terms(store.conditions), strict=True)]

    def judge(truths: Truths) -> None:
        reading = subject.reading(truths, [t for lane in lanes for t in lane[1:]])
        for n, (place, value, condition) in enumerate(lanes):
            lane: dict[Index, Term] = digits([a for a in axes if a != roles.fold], n)
            if along:
                lane[roles.fold] = position_of(place, symbol(subject.made.strides[finish.name, roles.fold], "int"))
            # A position of which nothing is asked is there, or there is nothing to show.
            exists = not along or not reading.asks(beyond := subject.inside(lane[roles.fold])) or reading.holds(beyond)
            found.require(reading.holds(condition) or not exists, "an element that there is may be left out")
            if not (exists and reading.holds(condition)):
                continue
            found.require(place is _place(subject, finish, lane), "it is stored at another place")
            found.require(subject.own(value, "last", last, lane), "it reads the state of another lane")
            subject.same(reading, value, _finish(subject, finish, reading, lane), found)

    for _ in cases(judge, subject.fixed()):
        pass


def _finish(subject: Subject, finish: Finish, reading: Reading, lane: Lane) -> Where:
    """The finish of the last state."""
    where = {**subject.where(), **lane}
    return Where(*(_project(subject, x, reading, where) for x in (finish.guard, finish.expr, finish.empty)))


def _project(subject: Subject, expr: Any, reading: Reading, where: Mapping[Index, Term]) -> Any:
    elements = {e.symbol: e.expr for e in subject.made.plan.elements}
    if expr in elements:
        return reading.plan(elements[expr], where)
    if not expr.args or not expr.free_symbols & {*subject.prover.laws.symbols, *elements}:
        return expr if isinstance(expr, State) or not expr.free_symbols else reading.plan(expr, where)
    return expr.func(*(_project(subject, a, reading, where) for a in expr.args))


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


def _place(subject: Subject, finish: Finish, lane: Lane) -> Term:
    """Where the element of an output at a lane of this program is."""
    where, strides = {**subject.where(), **lane}, subject.made.strides
    at = [(where[a], a) for a in finish.axes] + [(subject.small.lanes(k)[0], k) for k in ("lead0", "lead1")]
    offset = integers.add(*(integers.multiply(i, symbol(strides[finish.name, key], "int")) for i, key in at))
    return make("pointer", "pointer", (offset,), f"{finish.name}_ptr")
