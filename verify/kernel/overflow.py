"""The obligation that integers fit into their width, read off what kernels compute, for all that a launcher admits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from refold.schedule.conditions import TRUE, nonnegative
from refold.schedule.dtypes import INDEX, bits
from refold.schedule.integers import add, multiply, polynomial, scale, subtract, whole
from refold.schedule.launch import Launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Computed, Touched
from refold.schedule.terms import Term
from refold.schedule.tiles import NoMeaning
from refold.verify.kernel.admitted import atoms_between, checked, ends_of, numbers_of, reach
from refold.verify.kernel.asked import Asked, conjuncts
from refold.verify.kernel.divided import ZERO
from refold.verify.kernel.intervals import Intervals
from refold.verify.kernel.lane import Lane, Lanes, lane_of
from refold.verify.kernel.launched import Dimension, dimensions, positions
from refold.verify.kernel.lemmas import ONE
from refold.verify.kernel.numbers import Admitted
from refold.verify.kernel.premises import iterations, premises
from refold.verify.kernel.questions import IndexQuestion, IndexQuestions
from refold.verify.result import Result, Verdict

CLAIM = "every integer that a kernel computes fits into its width, for all that the launcher admits"
# How many bits an index has.
Width = Literal[32, 64]


def overflow(made: Kernels, how: Launch, read: Lanes, asked: Asked) -> IndexQuestions | Result:
    """Whether every integer that a kernel computes fits into its dtype: what is asked where a bound was found of all.

    Bounds are found by exact arithmetic, and with each the lemmas by which a solver finds the same.
    """
    begin = time.perf_counter()
    found: list[Fit | Open] = [Open(note) for note in read.unread.values()]
    shapes = dimensions(made, how)
    for stage, lanes in read.stages.items():
        known: set[object] = set()
        for lane in lanes:
            try:
                found += (o.within(stage) for o in Widths.of(made, how, lane, shapes).all(known))
            except NoMeaning as error:
                found.append(Open(f"{stage}: {error}"))
    left = [o for o in found if isinstance(o, Open)]
    if not left:
        return IndexQuestions("index overflow", CLAIM, tuple(_questions(found, asked)))
    verdict: Verdict = "unknown"
    note = f"no bound was found: {left[0].words}"
    for one in left:
        numbers = one.example()
        if numbers is not None:
            shown = ", ".join(f"{name} = {number}" for name, number in numbers.items())
            verdict, note = "refuted", f"{one.words}, at {shown}"
            break
    return Result("index overflow", CLAIM, verdict, time.perf_counter() - begin, "", note=note)


def _questions(found: Iterable[Fit | Open], asked: Asked) -> Iterator[IndexQuestion]:
    """All that fits under the same conditions at once, where the same loops run.

    Two loops may be such that one of them at most runs at all: what is so in both at once is nothing.
    """
    together: dict[tuple[int, tuple[Term, ...], frozenset[Term]], list[Fit]] = {}
    for fit in found:
        assert isinstance(fit, Fit)
        inside = iterations(fit.bounds, [*fit.goals, *fit.why, *fit.conditions])
        together.setdefault((id(fit.bounds), fit.conditions, inside), []).append(fit)
    for (_, conditions, _), fits in together.items():
        goals = dict.fromkeys(g for fit in fits for g in fit.goals if g is not TRUE)
        why = dict.fromkeys(lemma for fit in fits for lemma in fit.why)
        if goals:
            bounds = fits[0].bounds
            facts = [*conditions, *premises(bounds, [*goals, *why, *conditions]), *why]
            yield asked.by_definitions(facts, goals)


@dataclass(frozen=True, slots=True)
class Fit:
    """An integer that fits where conditions hold: the goals that say so, and the lemmas by which they are shown."""

    bounds: Intervals
    goals: tuple[Term, ...]
    conditions: tuple[Term, ...]
    why: frozenset[Term]

    def within(self, stage: str) -> Fit:
        return self


@dataclass(frozen=True, slots=True)
class Open:
    """What is not shown to fit, in words, and how to look for numbers at which it does not."""

    words: str
    example: Callable[[], dict[str, int] | None] = lambda: None

    def within(self, stage: str) -> Open:
        return replace(self, words=f"{stage}: {self.words}")


@dataclass(frozen=True, slots=True)
class Widths:
    """What bounds the integers of one kernel, at indices of 32 bits and of 64.

    `of_index`: with what is known at which width, how many bits an index has.
    """

    lane: Lane
    shapes: Mapping[str, tuple[Dimension, ...]]
    bounds: Mapping[Width, Intervals]
    of_index: tuple[tuple[Width, int], ...]
    index: int
    workspace: frozenset[str]

    @classmethod
    def of(cls, made: Kernels, how: Launch, lane: Lane, shapes: Mapping[str, tuple[Dimension, ...]]) -> Widths:
        known, numbers = dict(atoms_between(made, how, lane)), dict(numbers_of(made, how, lane))

        def ends(atom: Term) -> tuple[int, int] | None:
            return numbers.get(atom) or ends_of(atom)

        free = Intervals(known, (), lane.loops, ends, tuple(lane_of(a) for a in lane.blocks))

        def made_of(at_most: Iterable[tuple[Term, int]]) -> Intervals:
            return replace(free, at_most=tuple(at_most), free=free, answers={})

        looked_at = [*checked(made, how, lane, shapes)]
        reached = [reach(e, made) for e in how.reaches]
        limits: tuple[tuple[Width, int], ...] = ((32, how.limits.index), (64, how.limits.mask))
        bounds = {width: made_of((*looked_at, *((r, end - 1) for r in reached))) for width, end in limits}
        # What fits into 32 bits whatever masks come to need not be asked again.
        of_index: tuple[tuple[Width, int], ...] = ((32, 32), (64, 64))
        if not reached:
            of_index = ((64, 32),)
        elif any(free.because(subtract(whole(how.limits.index), r)) is not None for r in reached):
            # Indices of 32 bits are for no length at all: the launcher takes 64 for all.
            of_index = ((64, 64),)
        return cls(lane, shapes, bounds, of_index, how.limits.index, frozenset(made.workspace.values()))

    def all(self, known: set[object]) -> Iterator[Fit | Open]:
        """What is shown to fit, and what is not; `known` are those that were asked."""
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
        """Whether it is a sum of strides times positions of the element, each on its axis: no farther than it.

        In the workspace that may be so of it times a stride: none is 0 where there is an element.
        """
        if at is None or one.dtype == "int32":
            return False
        shape, kept = self.shapes[touched.tensor], touched.tensor in self.workspace
        for stride in [d.stride for d in shape] if kept else [()]:
            parts = positions(multiply(one.value, polynomial({stride: 1})), shape)
            if parts and all(part is ZERO or part is there for part, there in zip(parts, at, strict=True)):
                # Of the leading dimensions the launcher looks at no offset, nor of the workspace.
                inner = not kept and parts[0] is parts[1] is ZERO and self.index <= 2**31
                return one.dtype == "int64" or inner
        return False

    def wide(self, one: Computed, conditions: tuple[Term, ...]) -> Iterator[Fit | Open]:
        """That its width holds the integer, or where it may not."""
        value = one.value.args[0] if one.value.op == "narrow" else one.value
        widths: tuple[tuple[Width, int], ...] = ((64, bits(one.dtype)),)
        if one.dtype == INDEX:
            widths = self.of_index
        for width, held in widths:
            fit = self.fit(width, value, held, conditions)
            if fit is None:
                yield self.left(width, value, held, conditions)
                return
            yield fit

    def left(self, width: Width, value: Term, held: int, conditions: tuple[Term, ...]) -> Open:
        bounds = self.bounds[width]
        admitted = Admitted(bounds.numbers, bounds.known, bounds.loops, bounds.at_most)
        words = f"an integer of {held} bits is out of them"
        return Open(words, lambda: admitted.example(value, held, conditions))

    def fit(self, width: Width, value: Term, held: int, conditions: tuple[Term, ...]) -> Fit | None:
        """How so many bits hold an integer, at indices of a width; None where that is not shown."""
        end, bounds = 2 ** (held - 1), self.bounds[width]
        ends = subtract(value, whole(end - 1)), subtract(whole(-end), value)
        # limit - value >= 0, or value - limit >= 0.
        known = {c.args[0]: c for c in conditions if c.op == ">=0"}
        used, lemmas = dict[Term, None](), set[Term]()
        for p in ends:
            shown = ((k, bounds.because(add(p, k))) for k in (ZERO, *known))
            k, why = next(((k, why) for k, why in shown if why is not None), (ZERO, None))
            if why is None:
                return None
            lemmas |= why
            used |= {known[k]: None} if k is not ZERO else {}
        return Fit(bounds, tuple(nonnegative(scale(p, -1)) for p in ends), tuple(used), frozenset(lemmas))
