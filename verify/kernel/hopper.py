"""The refinement of the kernel for Hopper: two groups of warps compute, from what a third copies, the monoid of a plan.

The loop over the tiles is pipelined: at its head the product of one tile is still to come. What the carried names stand
for there is read off the kernel: a name that the first product of an iteration goes *into* stands for itself plus that
product, each other one for itself.

    (m, l, acc, weights)   stands for   (m, l, acc + weights @ v of the tile before)

Of this state the obligations are those of a plain loop: the first tile takes the unit to it, an iteration takes it to
its update by one more tile, and what the products after the loop leave is the state of all tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from refold.algebra.tiles import HI, LO
from refold.schedule import integers, ir, values
from refold.schedule.conditions import negate, nonnegative
from refold.schedule.execute import Object
from refold.schedule.integers import add, multiply, subtract, whole
from refold.schedule.loops import assigned
from refold.schedule.lower.gluon import gluon_kernel
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Carried, Loop, Outcome, Word
from refold.schedule.passes.warps import warp_specialise
from refold.schedule.terms import Term, below, make, symbol
from refold.schedule.tiles import Lanes, NoMeaning, Tile, filled, terms
from refold.verify.kernel.cases import Truths, Unread, cases
from refold.verify.kernel.lane import Lane
from refold.verify.kernel.launched import iteration_of
from refold.verify.kernel.lemmas import at_most, less, positive, same
from refold.verify.kernel.prover import Finding, Prover, obligation
from refold.verify.kernel.refinement import iterated
from refold.verify.kernel.roles import (
    FACTS,
    ONE,
    ORDER,
    STAGE,
    Questions,
    Work,
    barriers,
    begin,
    copied,
    fills_of,
    pieces,
    reads,
    started,
    tiles,
    trips,
    works,
)
from refold.verify.kernel.shares import pieces_have_a_program, rows_have_a_piece
from refold.verify.kernel.small import MEANT, Small
from refold.verify.kernel.stored import stored
from refold.verify.kernel.subject import Subject
from refold.verify.kernel.visits import ends_of
from refold.verify.kernel.warps import BLOCK_N, Fill, Piece, Product, Stage, Whole, normal, turn_of
from refold.verify.result import Result

# Numbers of what stands beside the loops: the state before the first tile, and the one after the last.
BEGIN, END, WITHIN = 1000, 2000, 3000
READS = "reads have the turns 0, 1, 2, ..., and each stage is given back after it"


def hopper_refinement(made: Kernels, prover: Prover) -> Iterator[Result]:
    """Every refinement obligation of the kernel for Hopper of a plan; none where it has no such kernel."""
    functions = functions_of(made)
    if functions is not None:
        yield from of_functions(made, prover, functions)


def functions_of(made: Kernels) -> tuple[ir.Function, ...] | None:
    """The functions of the kernel for Hopper, as they are printed; None where a plan has none."""
    warps = gluon_kernel(made, made.rolling.name.removesuffix("_rolling"))
    return None if warps is None else warp_specialise(warps)


def hopper_obligations(made: Kernels) -> Iterator[str]:
    """What has to be shown of that kernel, whatever it holds, by its name."""
    if functions_of(made) is not None:
        outputs = [f"output {made.users.get(f.name, f.name)}" for f in made.plan.finish]
        components = [str(a.symbol) for a in made.plan.accumulators]
        yield from (f"{STAGE}: {thing}" for thing in (ORDER, *components, *outputs))


def of_functions(made: Kernels, prover: Prover, functions: tuple[ir.Function, ...]) -> Iterator[Result]:
    """The same of functions that may be other than those lowered from the plan."""
    steps: dict[str, list[Finding]] = {}
    try:
        for found in steps_of(made, prover, functions):
            steps.setdefault(found.name, []).append(found)
    except (NoMeaning, Unread) as error:
        # What has no meaning leaves nothing shown, however much came before it.
        steps = {"": [Finding(STAGE, "", "", "the kernel computes its monoid", fault=str(error))]}
    yield from map(obligation, steps.values())


@dataclass(frozen=True, slots=True)
class Run:
    """One piece of work of a group in one case: what its names are before the first tile, after the last, and at the
    end."""

    machine: Piece
    truths: Truths
    begun: Mapping[str, Tile]
    ended: Mapping[str, Tile]
    returned: Term

    @property
    def small(self) -> Small:
        """The run as a kernel: the state that it stores is the one after the last tile, whatever it is."""
        return Small(Outcome(tuple(self.machine.events)), self.machine.names)

    @property
    def loops(self) -> list[Loop]:
        return [e for e in self.machine.events if isinstance(e, Loop)]

    @property
    def facts(self) -> list[Term]:
        return [c if holds else negate(c) for c, holds in self.truths.items()]


def steps_of(made: Kernels, prover: Prover, functions: tuple[ir.Function, ...]) -> Iterator[Finding]:
    """What is shown, step by step. Raises `NoMeaning` or `Unread` where something has no meaning."""
    kernel, machine = started(made, functions)
    made = replace(made, stages={**made.stages, STAGE: kernel})
    loader, *groups = works(machine)
    questions = Questions(FACTS)
    yield from pieces([loader, *groups], questions)
    found = begin("rounds", "every piece of work is some program's in some round")
    pieces_have_a_program(loader, questions, found)
    yield found
    load, gone = _load(made, machine, loader)
    fills = fills_of(load)
    for f in fills:
        yield copied(f, load, loader, gone, questions)
    runs = [[*cases(lambda truths, w=group: _run(made, prover, machine, w, fills, truths), {})] for group in groups]  # type: ignore[misc]
    users = {f: sum(any(_uses(run, f) for run in some) for some in runs) for f in fills}
    yield barriers(machine, fills, users)
    for number, (group, some) in enumerate(zip(groups, runs, strict=True)):
        yield from Group(made, prover, number, len(groups), group, fills, load, gone, questions).shown(some)


def _load(made: Kernels, kernel: Whole, work: Work) -> tuple[Piece, Term]:
    """Executes a piece of work of the role that copies."""

    def run(truths: Truths) -> tuple[Piece, Term]:
        machine = Piece(kernel.functions, _names(work), helpers=MEANT, made=made, truths=truths)
        return machine, _counted(machine.run(work.function.body))

    found = [*cases(run, {})]
    if len(found) != 1:
        raise NoMeaning("a role that copies in several ways")
    return found[0]


def _names(work: Work) -> dict[str, Object]:
    return dict(work.given)


def _uses(run: Run, fill: Fill) -> bool:
    """Whether a role waits for what a copy brings."""
    stages = [e.about[0] for e in run.machine.noted("wait")]
    return any(
        isinstance(s, Stage) and s.buffer == fill.full and turn_of(s.at).channel == fill.turn.channel for s in stages
    )


def _state(op: str, number: int, name: str, like: Tile) -> Tile:
    lanes = [make(op, t.sort, (), (number, name, n)) for n, t in enumerate(terms(like.lanes))]
    return Tile(like.dtype, filled(like.shape, lanes))


def _run(made: Kernels, prover: Prover, kernel: Whole, work: Work, fills: tuple[Fill, ...], truths: Truths) -> Run:
    """Executes a piece of work of a group: up to its first tile, from any state over its tiles, from any to its end."""
    machine = Piece(kernel.functions, _names(work), helpers=MEANT, made=made, fills=fills, truths=truths)
    body, names = work.function.body, [*prover.components]
    folds = [n for n, s in enumerate(body) if {*assigned([s])} & {*names}]
    if not folds or machine.run(body[: folds[-1]]) is not None or not {*names} <= {*machine.names}:
        raise NoMeaning("a role that has no state to begin with")
    begun = {n: values.as_tile(machine.names[n]) for n in names}
    machine.names |= {n: _state("state", BEGIN, n, t) for n, t in begun.items()}
    machine.run(body[folds[-1] : folds[-1] + 1])
    ended = {n: values.as_tile(machine.names[n]) for n in names}
    machine.names |= {n: _state("last", END, n, t) for n, t in ended.items()}
    return Run(machine, truths, begun, ended, _counted(machine.run(body[folds[-1] + 1 :])))


def _counted(results: tuple[Object, ...] | None) -> Term:
    """What a piece of work gives: how many tiles were loaded by its end."""
    if results is None or len(results) != 1:
        raise NoMeaning("a role that does not say how many tiles were loaded")
    return normal(values.as_tile(results[0]).lanes.item())


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the names that a loop carries stand for at its head, as terms over them: one for each component."""

    loop: Loop
    lanes: Mapping[str, Lanes]

    def of(self, now: Mapping[str, Lanes], iteration: Term) -> dict[str, list[Term]]:
        """What they stand for where they have some values, at the head of an iteration."""
        table = {iteration_of(self.loop.number): iteration}
        for c in self.loop.carried:
            table |= dict(zip(terms(c.now), terms(now[c.name]), strict=True))
        begin = {self.loop.start: normal(self.loop.start)}
        stand = {n: [integers.replaced(t, begin) for t in terms(lanes)] for n, lanes in self.lanes.items()}
        return {n: [integers.replaced(t, table) for t in some] for n, some in stand.items()}


def meaning(loop: Loop, machine: Piece, components: Mapping[str, Any]) -> Meaning:
    """Each component is what the first product of an iteration adds to it, or itself where none does."""
    products = [e.about[0] for e in machine.noted("product") if e.loops == (loop.number,)]
    lanes = {}
    for c in loop.carried:
        if c.name in components:
            mine = [p for p in products if isinstance(p, Product) and terms(p.into.lanes) == terms(c.now)]
            lanes[c.name] = mine[0].tile.lanes if mine else c.now
    if lanes.keys() != components.keys():
        raise NoMeaning(f"a loop that does not carry {', '.join(sorted(components.keys() - lanes.keys()))}")
    return Meaning(loop, lanes)


@dataclass(slots=True)
class Group:
    """A group of warps beside the copies that it reads: its obligations."""

    made: Kernels
    prover: Prover
    number: int
    groups: int
    work: Work
    fills: tuple[Fill, ...]
    load: Piece
    gone: Term
    questions: Questions

    def begin(self, thing: str, step: str, claim: str) -> Finding:
        return Finding(STAGE, thing, f"group {self.number}, {step}", claim)

    def subject(self, run: Run) -> Subject:
        return Subject(self.made, self.prover, STAGE, run.small)

    def shown(self, runs: list[Run]) -> Iterator[Finding]:
        """All obligations of this group."""
        for n, run in enumerate(runs):
            yield from self.ordered(run, n)
        yield self.ranges(runs[0])
        yield self.rows(runs[0])
        found = self.begin(ORDER, "pieces", "every row of every batch is in some piece of work")
        names = runs[0].machine.names
        rows_have_a_piece(self.made, self.work, self.number, self.groups, names, self.questions, found)
        yield found
        yield from self.begins(runs[0])
        visits = [r for r in runs if r.loops]
        if len(visits) != 1 or len(runs) > 2:
            raise NoMeaning("a role that does not go over tiles, or in several ways")
        (run,) = visits
        yield from self.loops(run)
        yield self.none(runs, run)
        last = Loop(END, whole(0), whole(0), whole(0), run.loops[-1].condition, (), ())
        for found in stored(self.subject(run), last):
            yield replace(found, step=f"group {self.number}, {found.step}")

    # --- order -----------------------------------------------------------------------------------------------------

    def ordered(self, run: Run, number: int) -> Iterator[Finding]:
        """The reads of a run follow each other, and every product is waited for in the loop where it begins."""
        case = "" if run.loops else ", no tile"
        for f in self.fills:
            if not _uses(run, f) and not _uses_loops(f):
                continue
            found = self.begin(ORDER, f"{f.name}: reads{case}", READS)
            reads(f, run.machine, self.work, run.returned, self.questions, run.facts, found)
            yield found
        found = self.begin(ORDER, f"products{case}", "every product is waited for in the loop in which it was issued")
        words = [e for e in run.machine.events if isinstance(e, Word)]
        found.require({e.name for e in words} <= {"wait", "arrive", "product", "landed"}, "a word of another role")
        known = {(b, f.turn.channel) for f in self.fills for b in (f.full, f.empty)}
        waits = [e.about[0] for e in words if e.name in ("wait", "arrive")]
        there = all(isinstance(s, Stage) and (s.buffer, turn_of(s.at).channel) in known for s in waits)
        found.require(there, "a barrier of no copy")
        found.require(_settled(run), "one is under way at the end of a loop")
        yield found
        found = self.begin(ORDER, f"count{case}", "both roles say that as many tiles were loaded")
        self.questions.require(found, [same(run.returned, self.gone)], run.facts, "they say otherwise:")
        yield found

    # --- ranges ----------------------------------------------------------------------------------------------------

    def ranges(self, run: Run) -> Finding:
        """The ends of the loops, in both roles, are those of the formulas that the index obligations are about."""
        claim = "the ends of the loops over tiles are those of their formulas, in both roles"
        found, goals = self.begin(ORDER, "ranges", claim), []
        spans = {x for a, b, _ in self.made.ranges.spans for x in (a, b)}
        wanted = ends_of(self.made, "rolling", Lane((), (), {}, {}, (), (), run.machine.names))
        for machine, ends in ((self.load, (LO, HI)), (run.machine, (LO, HI, *sorted(spans - {LO, HI}, key=str)))):
            goals += [same(_integer(machine, end.name), normal(wanted[end])) for end in ends]
        self.questions.require(found, goals, fault="an end is another than its formula's:")
        return found

    def rows(self, run: Run) -> Finding:
        """Every row of the group is one of those that the formulas are about."""
        claim = "every row of a group that there is is between the first and the last row of its program"
        found, goals = self.begin(ORDER, "rows", claim), []
        axis = self.made.roles.rows
        assert axis is not None
        row, length = _integer(run.machine, axis.name), symbol(f"size_{axis.name}", "int")
        if "first_row" in run.machine.names:
            first = _integer(run.machine, "first_row")
            goals += [nonnegative(first), at_most(first, row)]
        if "last_row" in run.machine.names:
            last = _integer(run.machine, "last_row")
            goals += [at_most(row, last), less(last, length)]
        # Of an axis without a row there is no piece of work.
        facts = [less(row, length), positive(length), nonnegative(symbol("work", "int"))]
        self.questions.require(found, goals, facts)
        return found

    # --- values ----------------------------------------------------------------------------------------------------

    def begins(self, run: Run) -> Iterator[Finding]:
        units = {str(s): u for s, u in self.prover.laws.units().items()}
        reading = self.subject(run).reading({}, [])
        for name, tile in run.begun.items():
            found = self.begin(name, "before the first tile", f"{name} begins at its unit in every piece of work")
            found.require(
                all(reading.kernel(t) == units[name] for t in terms(tile.lanes)), "it begins at another value"
            )
            yield found

    def loops(self, run: Run) -> Iterator[Finding]:
        """The first tile, an iteration of each loop, and that each goes on where the one before has ended."""
        components = self.prover.components
        heads = [meaning(loop, run.machine, components) for loop in run.loops]
        copies = [e for e in self.load.events if isinstance(e, Loop)]
        if len(copies) != 1 or any(loop.loops for loop in run.loops):
            raise NoMeaning("roles that do not go over the tiles in one loop after the other")
        (visits,) = copies
        first, end = tiles(visits)
        order = self.begin(
            ORDER, "tiles", "the first tile and the loops visit the tiles that are copied, one after the other"
        )
        goals = []
        # The first tile, as what the names stand for at the head of the first loop.
        start = {c.name: c.start for c in heads[0].loop.carried}
        ahead = subtract(add(first, ONE), tiles(heads[0].loop)[0])
        goals.append(same(ahead, whole(0)))
        yield from self.iteration(run, "first tile", BEGIN, visits, heads[0].of(start, ahead), run.begun)
        for n, head in enumerate(heads):
            then = {c.name: c.then for c in head.loop.carried}
            count = iteration_of(head.loop.number)
            yield from self.iterated(run, f"loop {n + 1}", head, head.of(then, add(count, ONE)))
            last = {c.name: c.last for c in head.loop.carried}
            begin = tiles(head.loop)[0]
            stop = tiles(heads[n + 1].loop)[0] if n + 1 < len(heads) else end
            left = head.of(last, subtract(stop, begin))
            goals.append(same(subtract(stop, begin), trips(head.loop)))
            if n + 1 < len(heads):
                start = {c.name: c.start for c in heads[n + 1].loop.carried}
                goes_on = heads[n + 1].of(start, whole(0))
                what = f"after loop {n + 1}"
            else:
                goes_on = {name: terms(tile.lanes) for name, tile in run.ended.items()}
                what = "after the last product"
            for name in components:
                found = self.begin(name, what, f"{name} goes on as the state that the loop has left")
                pairs = zip(_even(left[name]), _even(goes_on[name]), strict=True)
                found.require(all(a is b for a, b in pairs), "it is another value")
                yield found
        self.questions.require(order, goals, run.facts, "the tiles do not follow each other:")
        yield order

    def iterated(self, run: Run, what: str, head: Meaning, then: dict[str, list[Term]]) -> Iterator[Finding]:
        """An iteration from any state: what the names stood for before has a name of its own, and nothing else has."""
        loop, components = head.loop, self.prover.components
        named = {n: _state("state", WITHIN + loop.number, n, Tile("fp32", lanes)) for n, lanes in head.lanes.items()}
        now = head.of({c.name: c.now for c in loop.carried}, iteration_of(loop.number))
        table = {t: s for n in components for t, s in zip(now[n], terms(named[n].lanes), strict=True)}
        first, _ = tiles(loop)
        span = self.unmasked(run, loop)
        begin = first if span is None else span[0]
        at = WITHIN + loop.number
        # Iterations are counted from the beginning of the span, of which a loop may leave out the first tile.
        count = {iteration_of(loop.number): subtract(add(iteration_of(at), begin), first)}
        start = {loop.start: normal(loop.start)}
        after = {
            n: [integers.replaced(integers.replaced(integers.replaced(t, start), table), count) for t in some]
            for n, some in then.items()
        }
        ends = loop if span is None else replace(loop, start=span[1], stop=span[2])
        if span is None:
            ends = replace(loop, start=normal(loop.start))
        yield from self.iteration(run, what, at, ends, after, run.begun)

    def unmasked(self, run: Run, loop: Loop) -> tuple[Term, Term, Term] | None:
        """The span of tiles without masks that a loop goes over: its first tile, and its ends."""
        names = run.machine.names
        for a, b, masked in self.made.ranges.spans:
            if masked or a.name not in names or b.name not in names:
                continue
            low, high = (values.as_tile(names[x.name]).lanes.item() for x in (a, b))
            ends = replace(loop, start=low, stop=high)
            first, last = tiles(ends)
            here = tiles(loop)
            if here[1] is last and normal(multiply(BLOCK_N, integers.greatest(here[0], first))) is normal(loop.start):
                return first, low, high
        return None

    def iteration(self, run: Run, what: str, number: int, ends: Loop, then: Mapping[str, list[Term]],
                  like: Mapping[str, Tile]) -> Iterator[Finding]:  # fmt: skip
        """The obligation of a plain iteration, of what the names stand for."""
        carried = []
        for name, after in then.items():
            tile = like[name]
            now, last = (_state(op, number, name, tile).lanes for op in ("state", "last"))
            carried.append(Carried(name, tile.dtype, now, now, filled(tile.shape, after), last))
        step = ends.step if number != BEGIN else whole(0)
        loop = replace(ends, number=number, step=step, stop=ends.stop if number != BEGIN else ends.start,
                       carried=tuple(carried))  # fmt: skip
        for found in iterated(self.subject(run), loop):
            yield replace(found, step=f"group {self.number}, {what}")

    def none(self, runs: list[Run], visits: Run) -> Finding:
        """Where there is no tile, the state stays as it began; what is stored then is what is stored of any state."""
        found = self.begin(ORDER, "no tile", "where no tile is visited the state stays at its unit")
        for run in runs:
            if run is visits:
                continue
            for name, tile in run.ended.items():
                began = terms(_state("state", BEGIN, name, tile).lanes)
                found.require(terms(tile.lanes) == began, f"{name} changes")
            stores = [
                [(terms(s.places), terms(s.values), terms(s.conditions)) for s in r.small.outcome.stores]
                for r in (run, visits)
            ]
            found.require(stores[0] == stores[1], "what is stored is another value")
        return found


def _integer(machine: Piece, name: str) -> Term:
    """What a number of the program is in the end."""
    if name not in machine.names:
        raise NoMeaning(f"a role without {name}")
    (term,) = values.as_tile(machine.names[name]).lanes.ravel().tolist()
    assert isinstance(term, Term)
    return term


def _even(some: list[Term]) -> list[Term]:
    """Terms with their integers in normal form."""
    found = []
    for t in some:
        table = {x: y for x in below(t) if x.sort == "int" and x.op == "polynomial" and (y := normal(x)) is not x}
        found.append(integers.replaced(t, table) if table else t)
    return found


def _uses_loops(fill: Fill) -> bool:
    """Whether turns go on where a run reads nothing."""
    return bool(fill.loops)


def _settled(run: Run) -> bool:
    """Whether no product is under way where a loop begins or ends."""
    left = 0
    inside: tuple[int, ...] = ()
    for e in run.machine.events:
        if e.loops != inside or isinstance(e, Loop):
            if left:
                return False
            inside = e.loops if not isinstance(e, Loop) else (*e.loops, e.number)
        if isinstance(e, Word) and e.name == "product":
            left += 1
        if isinstance(e, Word) and e.name == "landed":
            assert isinstance(e.about[0], int)
            left = min(left, e.about[0])
    return left == 0
