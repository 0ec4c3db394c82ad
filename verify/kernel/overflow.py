"""The obligation that integers fit into their width, read off what kernels compute, for all that a launcher admits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import sympy as sp

from refold.schedule import integers
from refold.schedule.dtypes import INDEX, bits
from refold.schedule.integers import add, multiply, products, subtract, whole
from refold.schedule.launch import GROUP_SIZE, SIZE_BATCH, Launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Computed, Touched
from refold.schedule.terms import Term, below, make, symbol
from refold.schedule.tiles import NoMeaning
from refold.schedule.wholes import whole as term_of
from refold.spec import Index
from refold.verify.kernel.asked import conjuncts
from refold.verify.kernel.divided import ZERO
from refold.verify.kernel.intervals import Ends, Intervals
from refold.verify.kernel.lane import (
    LEAD0,
    LEAD1,
    TILES_OF_A_CHUNK,
    Lane,
    Lanes,
    host_integer,
    lane_of,
    length,
    program_of,
)
from refold.verify.kernel.launched import Dimension, dimensions, positions
from refold.verify.kernel.lemmas import ONE
from refold.verify.kernel.numbers import Admitted
from refold.verify.result import Result, Verdict

# No tensor has so many elements between its first and its last: it would not fit into any memory. Data of 64 bits is
# taken to be no farther from 0 than that.
MEMORY = 2**62
CLAIM = "every integer that a kernel computes fits into its width, for all that the launcher admits"
# A bound has no certificate: what is in the file is the word of whoever wrote it.
BOUNDED = "by bounds in exact integers, which `recheck --against` finds anew"
# How many bits an index has.
Width = Literal[32, 64]


def overflow(made: Kernels, how: Launch, read: Lanes) -> Result:
    """Whether every integer that a kernel computes fits into its dtype."""
    begin = time.perf_counter()
    found = [Open(note) for note in read.unread.values()]
    shapes = dimensions(made, how)
    for stage, lanes in read.stages.items():
        known: set[object] = set()
        for lane in lanes:
            try:
                found += (
                    replace(o, words=f"{stage}: {o.words}") for o in Widths.of(made, how, lane, shapes).open(known)
                )
            except NoMeaning as error:
                found.append(Open(f"{stage}: {error}"))
    verdict: Verdict = "unknown" if found else "proved"
    note = f"no bound was found: {found[0].words}" if found else BOUNDED
    for one in found:
        numbers = one.example()
        if numbers is not None:
            shown = ", ".join(f"{name} = {number}" for name, number in numbers.items())
            verdict, note = "refuted", f"{one.words}, at {shown}"
            break
    return Result("index overflow", CLAIM, verdict, time.perf_counter() - begin, "", note=note)


@dataclass(frozen=True, slots=True)
class Open:
    """What is not shown to fit, in words, and how to look for numbers at which it does not."""

    words: str
    example: Callable[[], dict[str, int] | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Widths:
    """What bounds the integers of one kernel, at indices of 32 bits and of 64."""

    lane: Lane
    shapes: Mapping[str, tuple[Dimension, ...]]
    bounds: Mapping[Width, Intervals]
    index: int
    workspace: frozenset[str]

    @classmethod
    def of(cls, made: Kernels, how: Launch, lane: Lane, shapes: Mapping[str, tuple[Dimension, ...]]) -> Widths:
        known, numbers = dict(_known(made, how, lane)), dict(_numbers(made, how, lane))
        others = {lane_of(a): symbol(f"other lane {a}", "int") for a in lane.blocks}
        known |= {others[t]: known[t] for t in others}

        def ends(atom: Term) -> tuple[int, int] | None:
            return numbers.get(atom) or _data(atom)

        def made_of(at_most: Iterable[tuple[Term, int]], free: Intervals | None = None) -> Intervals:
            return Intervals(known, tuple(at_most), lane.loops, ends, others, free)

        checked = [*_checked(made, how, lane, shapes)]
        reached = [_reach(e, made) for e in how.reaches]
        free = made_of(())
        limits: tuple[tuple[Width, int], ...] = ((32, how.limits.index), (64, how.limits.mask))
        bounds = {width: made_of((*checked, *((r, end - 1) for r in reached)), free) for width, end in limits}
        if not reached:
            bounds[32] = bounds[64]
        return cls(lane, shapes, bounds, how.limits.index, frozenset(made.workspace.values()))

    def open(self, known: set[object]) -> Iterator[Open]:
        """What is not shown to fit; `known` are those that were asked."""
        for one in (*self.lane.integers, *self.counters()):
            key = one.dtype, one.value, tuple(self.loop(n) for n in one.loops)
            if key not in known:
                known.add(key)
                yield from self.wide(one, ())
        for touched in self.lane.touches:
            if touched.steps is None:
                yield Open(f"what leads to an element of {touched.tensor} is not known")
                continue
            at = positions(touched.offset, self.shapes[touched.tensor])
            for one in touched.steps:
                step = one.dtype, one.value, tuple(self.loop(n) for n in one.loops), touched.tensor, at and tuple(at)
                if step not in known:
                    known.add(step)
                    if not self.leads(one, touched, at):
                        yield from self.wide(one, conjuncts(touched.condition))

    def loop(self, number: int) -> tuple[Term, ...]:
        loop = self.lane.loops[number]
        return loop.start, loop.stop, loop.step

    def counters(self) -> Iterator[Computed]:
        """Where the counter of a loop ends: a step after its last."""
        for loop in self.lane.loops.values():
            yield Computed("int32", subtract(add(loop.stop, loop.step), ONE), loop.loops)

    def leads(self, one: Computed, touched: Touched, at: list[Term] | None) -> bool:
        """Whether it is a sum of strides times positions of the element, each on its axis: no farther than it."""
        parts = positions(one.value, self.shapes[touched.tensor])
        if parts is None or at is None or one.dtype == "int32":
            return False
        if any(part is not ZERO and part is not there for part, there in zip(parts, at, strict=True)):
            return False
        # Of the leading dimensions the launcher looks at no offset, nor of the workspace.
        inner = touched.tensor not in self.workspace and parts[0] is parts[1] is ZERO and self.index <= 2**31
        return one.dtype == "int64" or inner

    def wide(self, one: Computed, conditions: tuple[Term, ...]) -> Iterator[Open]:
        """The integer where its width may not hold it."""
        value = one.value.args[0] if one.value.op == "narrow" else one.value
        widths: tuple[tuple[Width, int], ...] = ((64, bits(one.dtype)),)
        if one.dtype == INDEX:
            # What fits into 32 bits whatever masks come to need not be asked again.
            widths = ((32, 32), (64, 64)) if self.bounds[32] is not self.bounds[64] else ((64, 32),)
        for width, held in widths:
            if not self.fits(width, value, held, conditions):
                yield self.left(width, value, held, conditions)
                return

    def left(self, width: Width, value: Term, held: int, conditions: tuple[Term, ...]) -> Open:
        bounds = self.bounds[width]
        admitted = Admitted(bounds.numbers, bounds.known, bounds.loops, bounds.at_most)
        words = f"an integer of {held} bits is out of them"
        return Open(words, lambda: admitted.example(value, held, conditions))

    def fits(self, width: Width, value: Term, held: int, conditions: Iterable[Term]) -> bool:
        """Whether so many bits hold an integer, at indices of a width."""
        end, shown = 2 ** (held - 1), self.bounds[width].negative
        over, under = subtract(value, whole(end - 1)), subtract(whole(-end), value)
        # limit - value >= 0, or value - limit >= 0.
        known = [c.args[0] for c in conditions if c.op == ">=0"]
        return all(shown(p) or any(shown(add(p, k)) for k in known) for p in (over, under))


def _data(atom: Term) -> tuple[int, int] | None:
    """The ends of what memory holds."""
    if atom.op != "read" or not isinstance(atom.data, tuple):
        return None
    width = bits(str(atom.data[2]))
    return (-MEMORY, MEMORY) if width == 64 else (-(2 ** (width - 1)), 2 ** (width - 1) - 1)


def _numbers(made: Kernels, how: Launch, lane: Lane) -> Iterator[tuple[Term, tuple[int, int]]]:
    """The ends of lengths and blocks: where a program is launched, there is a row and a batch."""
    limits = how.limits
    filled = {*how.filled, *(a for a in (made.roles.rows, *made.roles.batch) if a is not None)}
    for axis in made.given.spec.axes:
        yield length(axis, made), (int(axis in filled), limits.axis - 1)
    for block in {*lane.blocks.values(), *(symbol(f"BLOCK_{x}", "int") for x in "MN")}:
        yield block, (1, limits.block)
    for n in (LEAD0, LEAD1, TILES_OF_A_CHUNK, symbol("parts", "int")):
        yield n, (1, limits.count - 1)


def _known(made: Kernels, how: Launch, lane: Lane) -> Iterator[tuple[Term, Ends]]:
    """What is between two terms: scalars, lanes, programs and groups of rows."""
    yield symbol("side", "int"), (ONE, host_integer(SIZE_BATCH, made, how))
    for p in made.given.spec.params:
        if p.is_integer:
            scalar = symbol(p.name, "int")
            size = make("abs", "int", (scalar,))
            yield scalar, (ONE, None) if p.is_positive else (integers.scale(size, -1), size)
    for axis, block in lane.blocks.items():
        yield lane_of(axis), (ZERO, subtract(block, ONE))
    for n, count in enumerate(lane.grid):
        yield program_of(n), (ZERO, subtract(count, ONE))
        # Where there is a program, no factor of the grid is 0.
        yield from ((atom, (ONE, None)) for product in products(count) for atom in product if atom.op == "//")
    if how.group is not None:
        # What the launcher divides by is not 0: by groups, and by what they are a quotient by.
        group = host_integer(GROUP_SIZE, made, how)
        divisors = [group, *(t.args[1] for t in below(group) if t.op == "//")]
        yield from ((t, (ONE, None)) for t in divisors if t.op != "polynomial")


def _checked(
    made: Kernels, how: Launch, lane: Lane, shapes: Mapping[str, tuple[Dimension, ...]]
) -> Iterator[tuple[Term, int]]:
    """What the launcher looks at, and what fits into memory, with what it does not exceed."""
    most = how.limits.count - 1
    yield integers.product(*lane.grid), most
    for count in how.counts:
        yield host_integer(count, made, how), most
    kept = {*made.workspace.values()}
    for tensor, shape in shapes.items():
        strides = [integers.polynomial({d.stride: 1}) for d in shape]
        if tensor in kept:
            yield integers.product(*(d.length for d in shape)), MEMORY
        else:
            lead = [multiply(subtract(d.length, ONE), s) for d, s in zip(shape, strides, strict=True)][:2]
            yield add(*lead), MEMORY


def _reach(expr: sp.Expr, made: Kernels) -> Term:
    """What masks come to, as a term."""

    def leaf(e: sp.Expr) -> Term:
        match e:
            case sp.Abs():
                return make("abs", "int", (term_of(e.args[0], leaf),))
            case sp.Pow() if e.exp.is_Integer and e.exp > 0:
                return integers.product(*[term_of(e.base, leaf)] * int(e.exp))
        return length(Index(e.name), made)

    return term_of(expr, leaf)
