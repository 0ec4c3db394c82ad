"""The kernel for Hopper, executed up to its roles, each role over its pieces of work, and one piece in one case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from refold.schedule import ir, values
from refold.schedule.conditions import TRUE
from refold.schedule.execute import Descriptor, Machine, Object
from refold.schedule.execute import argument as argument_of
from refold.schedule.integers import add
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Loop, Word
from refold.schedule.terms import Term, below, make, symbol
from refold.schedule.tiles import NoMeaning, Tile, filled, terms
from refold.schedule.walk import contains, parts
from refold.verify.kernel.cases import Undecided
from refold.verify.kernel.small import MEANT, arguments
from refold.verify.kernel.steps import PROGRAM, PROGRAMS
from refold.verify.kernel.turns import ONE
from refold.verify.kernel.warps import Warps

SYMBOLS = ("BLOCK_M", "BLOCK_N", "SIZE_stages", "SIZE_rows")


def number(t: Term) -> Tile:
    """An integer of the program."""
    return Tile("int32", filled((), [t]))


def iteration(loop: Loop) -> Term:
    return make("iteration", "int", (), loop.number)


@dataclass(frozen=True, slots=True)
class Work:
    """A role: its loop over pieces of work, and what it calls for one of them.

    `given` are the arguments of that call, with a symbol for each that varies; `start` and `next` say what such a
    symbol is in the first piece, and in the one after a piece. All that is in `order` decides which pieces are taken.
    """

    function: ir.Function
    given: Mapping[str, Object]
    order: tuple[object, ...]
    condition: Term
    loop: Loop
    varying: Mapping[str, Term]

    @property
    def name(self) -> str:
        """What a piece calls its number."""
        found = [n for n, t in self.varying.items() if t is not iteration(self.loop) and t.op != "state"]
        if len(found) != 1:
            raise NoMeaning("pieces of work without a number, or with several")
        return found[0]

    @property
    def number(self) -> Term:
        """The number of a piece of work, in the loop over them."""
        return self.varying[self.name]

    @property
    def count(self) -> Term:
        """How many pieces of work there are: a number below it is one, and every other is none."""
        if self.condition.op == ">=0":
            found = add(self.condition.args[0], self.number, ONE)
            if not any(t.op in ("iteration", "state", "last") or t is PROGRAM for t in below(found)):
                return found
        raise NoMeaning("pieces of work of which the count varies")

    def start(self) -> dict[Term, Term]:
        """The arguments of the first piece, of those that are numbers then."""
        known = {}
        for name, t in self.varying.items():
            if t is iteration(self.loop):
                known[symbol(name, "int")] = self.loop.start
            for c in self.loop.carried:
                if t is terms(c.now)[0]:
                    known[symbol(name, "int")] = terms(c.start)[0]
        return known

    def next(self, returned: Term) -> dict[Term, Term]:
        """The arguments of the piece after this one, where it gives `returned`."""
        known, result = {}, make("after", "int", tuple(self.varying.values()))
        for name, t in self.varying.items():
            if t is iteration(self.loop):
                known[symbol(name, "int")] = add(symbol(name, "int"), self.loop.step)
            for c in self.loop.carried:
                then = terms(c.then)[0]
                # What it is after a piece that is none does not matter: none comes after it.
                if t is terms(c.now)[0] and result in (then, *then.args[1:2]):
                    known[symbol(name, "int")] = returned
        return known


@dataclass(slots=True)
class Whole(Warps):
    """The kernel itself, which starts its roles."""

    def side_by_side(self, node: ir.Specialise) -> None:
        for role in node.functions:
            given: tuple[Any, ...] = tuple(values.value(self, a) for a in role.args)
            self.note("role", self.functions[role.function], given)


@dataclass(slots=True)
class Role(Warps):
    """One role over its pieces of work: what it calls for a piece is noted, and not executed."""

    def call(self, function: ir.Function, args: tuple[Object, ...]) -> tuple[Object, ...]:
        if function.name not in self.functions:
            return Machine.call(self, function, args)
        given = dict(zip((p.text for p in function.parameters), args, strict=True))
        varying = {n: a.lanes.item() for n, a in given.items() if isinstance(a, Tile) and _varies(a)}
        self.note("piece", function, given, varying)
        return (Tile("int32", filled((), [make("after", "int", tuple(varying.values()))])),)


def _varies(x: Tile) -> bool:
    inside = ("iteration", "trips", "state", "last")
    return not x.shape and any(t in (PROGRAM, PROGRAMS) or t.op in inside for t in below(*terms(x.lanes)))


@dataclass(slots=True)
class Piece(Warps):
    """One piece of work of a role, in a case of what its branches ask."""

    truths: Mapping[Term, bool] = field(default_factory=dict)

    def decided(self, condition: Term) -> bool | None:
        known = Warps.decided(self, condition)
        if known is None and condition not in self.truths:
            raise Undecided(condition)
        return self.truths[condition] if known is None else known


def started(made: Kernels, functions: tuple[ir.Function, ...]) -> tuple[ir.Function, Whole]:
    """The kernel, executed up to its roles."""
    kernels = [f for f in functions if any(contains(s, ir.Specialise) for s in f.body)]
    if len(kernels) != 1:
        raise NoMeaning("no kernel that starts roles, or several")
    (kernel,) = kernels
    machine = Whole({f.name: f for f in functions}, helpers=MEANT, made=made)
    types, constants = arguments(made, kernel)
    copied = {n.text for f in functions for n in _copied(f.body)}
    for p in kernel.parameters:
        known: Object
        if p.text in copied:
            known = Descriptor(p.text, "fp32")
        elif p.text in SYMBOLS:
            known = number(symbol(p.text, "int"))
        else:
            known = argument_of(p.text, types, constants)
        machine.names[p.text] = known
    machine.run(kernel.body)
    if not all(isinstance(e, Word | Loop) for e in machine.events):
        raise NoMeaning("a kernel that does something before its roles begin")
    return kernel, machine


def _copied(node: Any) -> Iterator[ir.Name]:
    """The tensors that are copied by descriptors."""
    if isinstance(node, tuple):
        for n in node:
            yield from _copied(n)
        return
    if isinstance(node, ir.Call) and node.function == "_copy" and isinstance(node.args[0], ir.Name):
        yield node.args[0]
    for part in parts(node):
        yield from _copied(part)


def works(machine: Whole) -> list[Work]:
    """What every role does."""
    return [_work(machine, *e.about) for e in machine.noted("role")]


def _work(machine: Whole, function: Any, args: Any) -> Work:
    role = Role(machine.functions, helpers=MEANT, made=machine.made)
    role.names = dict(zip((p.text for p in function.parameters), args, strict=True))
    role.run(function.body)
    pieces, loops = [*role.noted("piece")], [e for e in role.events if isinstance(e, Loop)]
    if len(pieces) != 1 or len(loops) != 1 or pieces[0].loops != (loops[0].number,) or len(role.events) != 2:
        raise NoMeaning(f"{function.name}: a role that is not one loop over pieces of work")
    (piece,), (loop,) = pieces, loops
    if loop.condition is not TRUE:
        raise NoMeaning(f"{function.name}: a role that may do nothing")
    body, given, varying = piece.about
    assert isinstance(body, ir.Function) and isinstance(given, dict) and isinstance(varying, dict)
    carried = tuple((c.name, *terms(c.start), *terms(c.then)) for c in loop.carried)
    order = (*varying.items(), piece.condition, loop.start, loop.stop, loop.step, loop.condition, carried)
    return Work(body, given | {n: number(symbol(n, "int")) for n in varying}, order, piece.condition, loop, varying)
