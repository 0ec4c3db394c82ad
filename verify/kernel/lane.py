"""Executes the kernels of a plan at one lane that stands for all: sizes, blocks, programs and lanes are symbols.

What a kernel touches in memory is noted with everything that decides whether it is: the mask, the conditions on the
way, and the loops around it. A fold of lanes is a value of which nothing is known.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from refold.schedule import integers, ir, values
from refold.schedule.conditions import TRUE, both, negate, select
from refold.schedule.dtypes import INDEX, is_integer
from refold.schedule.execute import Machine, Object
from refold.schedule.execute import argument as argument_of
from refold.schedule.launch import Launch
from refold.schedule.lower.kernels import Kernels
from refold.schedule.lower.words import ALIGNED, block_of, descriptor
from refold.schedule.outcome import Called, Computed, Described, Loop, Shared, Touched
from refold.schedule.terms import Term, make, rebuild, symbol
from refold.schedule.tiles import NoMeaning, Tile, cast, each, filled
from refold.schedule.walk import every
from refold.schedule.wholes import whole
from refold.spec import Index
from refold.verify.kernel.small import MEANT, arguments

# What the launcher passes is a product of these: a chunk that it lets in is whole tiles, a batch all leading positions.
TILES_OF_A_CHUNK, LEAD0, LEAD1 = (symbol(n, "int") for n in ("tiles of a chunk", "leading 0", "size_lead"))


@dataclass(frozen=True, slots=True)
class Lane:
    """What a kernel touches in one case of the flags of its compilation, and what is so in that case.

    `blocks` are the lengths of a tile, `grid` how many programs there are; `names` what the kernel's names are at its
    end.
    """

    touches: tuple[Touched, ...]
    calls: tuple[Called, ...]
    loops: Mapping[int, Loop]
    blocks: Mapping[Hashable, Term]
    grid: tuple[Term, ...]
    facts: tuple[Term, ...]
    names: Mapping[str, Object]
    integers: tuple[Computed, ...] = ()
    described: tuple[Described, ...] = ()
    shared: tuple[Shared, ...] = ()


def lane_of(axis: Hashable) -> Term:
    """The lane of a tile along an axis."""
    return symbol(f"lane {axis}", "int")


def program_of(axis: int) -> Term:
    return symbol(f"program {axis}", "int")


@dataclass(slots=True)
class LaneMachine(Machine):
    """A machine whose tiles have one lane along every axis."""

    blocks: dict[Hashable, Term] = field(default_factory=dict)
    # The integers that were computed to get to a place; None where they are not known.
    steps: dict[Term, tuple[Computed, ...] | None] = field(default_factory=dict)

    def lanes(self, node: ir.Lanes) -> Tile:
        block = values.tile(self, node.block).lanes.item()
        if self.blocks.setdefault(node.axes[0], block) is not block:
            raise NoMeaning(f"tiles of two lengths along {node.axes[0]}")
        return Tile("int32", filled((1,), [lane_of(node.axes[0])]))

    def extent(self, length: Object) -> int:
        return 1

    def folded(self, result: Tile, by: str) -> Tile:
        return Tile(result.dtype, each(lambda t: make("fold of lanes", t.sort, (once(t),), by), result.lanes))

    def computed(self, node: ir.Value, result: Tile) -> Tile:
        if is_integer(result.dtype) and result.dtype != "int1" and (_grows(node) or _narrows(result)):
            values = result.lanes.ravel().tolist()
            if isinstance(node, ir.Binary) and node.op == "cdiv":
                values = [t.args[0] for t in values if t.op == "//"]
            elif isinstance(node, ir.Reduce):
                values = [make("sum of lanes", "int", (t,)) for t in values]
            self.events += [Computed(result.dtype, t, self.inside) for t in values]
        return result

    def combined(self, function: ir.Function, tiles: list[Tile]) -> None:
        """Of more lanes than one nothing is computed here: of what a function makes of integers no bound is known."""
        whole_ = [t.dtype for t in tiles if is_integer(t.dtype) and t.dtype != "int1"]
        if whole_ and any(map(_grows, every(function))):
            self.events.append(Computed(whole_[0], make("fold by a function", "int"), self.inside))

    def moved(self, place: Tile, op: str, by: ir.Value) -> Tile:
        """What is computed to get to an element matters only where it is touched."""
        mark = len(self.events)
        result = Machine.moved(self, place, op, by)
        made = [e for e in self.events[mark:] if isinstance(e, Computed)]
        self.events[mark:] = [e for e in self.events[mark:] if not isinstance(e, Computed)]
        (start,), (end,) = place.lanes.ravel().tolist(), result.lanes.ravel().tolist()
        before = self.steps.get(start, () if integers.value_of(start.args[0]) == 0 else None)
        other = self.steps.get(end, ())
        if before is None or other is None:
            self.steps[end] = None
        else:
            self.steps[end] = tuple(dict.fromkeys([*before, *other, *made]))
        return result

    def call(self, function: ir.Function, args: tuple[Object, ...]) -> tuple[Object, ...]:
        results = Machine.call(self, function, args)
        named = dict(zip((p.text for p in function.parameters), args, strict=True))
        self.events.append(Called(function.name, named, results, self.path, self.inside))
        return results

    def chooses(self, node: ir.Choice) -> None:
        """Where a descriptor may read in the place of a load, or the first lane's quotient stands for all."""
        match node:
            case ir.Choice(flag, ir.Full((ir.Number(1),), one), lanes) if (
                flag == ALIGNED and values.value(self, flag) is True
            ):
                mark = len(self.events)
                at_first, at_lane = (values.tile(self, v).lanes.ravel().tolist()[0] for v in (one, lanes))
                del self.events[mark:]
                self.events.append(Shared(at_first, at_lane, self.path, self.inside))
            case ir.Choice(_, ir.Fetch() as tile, ir.Load(place, mask)):
                # The load notes what it computes itself; that a corner is the load's shows that its casts lose nothing.
                mark = len(self.events)
                first = tuple(values.tile(self, c).lanes.item() for c in tile.corner)
                shape = tuple(values.tile(self, n).lanes.item() for n in tile.shape)
                (at,) = values.tile(self, place).lanes.ravel().tolist()
                holds = [TRUE] if mask is None else cast(values.tile(self, mask), "int1").lanes.ravel().tolist()
                del self.events[mark:]
                if (
                    at.op != "pointer"
                    or tile.descriptor != descriptor(str(at.data).removesuffix("_ptr"))
                    or tile.axes != node.other.axes
                ):
                    raise NoMeaning(f"a tile of {tile.descriptor.text} in the place of another one")
                where = at.args[0], both(*holds), self.path, self.inside
                self.events.append(Described(str(at.data), first, shape, tile.axes, *where))

    def touches(self, node: ir.Load | ir.Store, place: Tile, mask: Tile | None, value: Tile | None = None) -> None:
        (at,) = place.lanes.ravel().tolist()
        holds = [TRUE] if mask is None else cast(mask, "int1").lanes.ravel().tolist()
        if at.op != "pointer":
            raise NoMeaning(f"a pointer that is a {at.op}")
        what = None if value is None else value.lanes.ravel().tolist()[0]
        when, axes = both(self.path, *holds), node.place.axes
        steps = self.steps.get(at, () if integers.value_of(at.args[0]) == 0 else None)
        self.events.append(Touched(str(at.data), at.args[0], when, self.inside, axes, what, steps))


def _grows(node: ir.Value) -> bool:
    """Whether an operation may give an integer beyond all that it takes; a quotient is none, nor is a rest."""
    match node:
        case ir.Binary(op):
            return op in ("+", "-", "*", "cdiv")
        case ir.Unary(op):
            return op in ("-", "abs")
        case ir.Reduce(reducer):
            return reducer in ("sum", "prod")
        case ir.Cast(x, _, literal):
            # An argument of the launcher, which has 64 bits where 32 do not hold it.
            return literal and isinstance(x, ir.Name) and x.kind == "value"
    return False


def _narrows(result: Tile) -> bool:
    return any(t.op in ("narrow", "to_integer") for t in result.lanes.ravel().tolist())


def once(t: Term) -> Term:
    """A choice whose condition is not asked again within: `c ? (c ? x : y) + 1 : z`   ->   `c ? x + 1 : z`."""
    if t.op != "select":
        return t
    condition, then, other = t.args

    def change(term: Term, args: tuple[Term, ...]) -> Term:
        return args[1] if term.op == "select" and term.args[0] is condition else integers.anew(term, args)

    return select(condition, rebuild(then, change, {}), other)


def reached(lane: Lane, value: Term, given: tuple[Term, ...] = ()) -> set[Term]:
    """All that a value depends on beside what is given, through what loops carry and how often they run."""
    carried = {(n, c.name): c for n, loop in lane.loops.items() for c in loop.carried}
    found: set[Term] = set()
    left = [value]
    while left:
        t = left.pop()
        if t in found or t in given:
            continue
        found.add(t)
        left += t.args
        if t.op in ("state", "last", "iteration", "trips"):
            number = t.data[0] if isinstance(t.data, tuple) else t.data
            assert isinstance(number, int)
            loop = lane.loops[number]
            left += [loop.start, loop.stop, loop.step, loop.condition]
        if t.op in ("state", "last"):
            assert isinstance(t.data, tuple)
            c = carried[t.data[0], t.data[1]]
            left += [x for lanes in (c.start, c.then) for x in lanes.ravel().tolist()]
    return found


@dataclass(frozen=True, slots=True)
class Lanes:
    """What the kernels of a plan do at their one lane, by stage: in every case of the flags, or why it is not known."""

    stages: Mapping[str, tuple[Lane, ...]]
    unread: Mapping[str, str]


def lanes_of(made: Kernels, how: Launch) -> Lanes:
    """Executes every kernel."""
    stages: dict[str, tuple[Lane, ...]] = {}
    unread: dict[str, str] = {}
    for stage, kernel in made.stages.items():
        flags = [f for f, _ in how.flags if f in kernel.parameters]
        cases = (dict(zip(flags, chosen, strict=True)) for chosen in product((False, True), repeat=len(flags)))
        try:
            stages[stage] = tuple(_executed(made, stage, how, case) for case in cases)
        except NoMeaning as error:
            unread[stage] = f"{stage}: {error}"
    return Lanes(stages, unread)


def _executed(made: Kernels, stage: str, how: Launch, flags: Mapping[ir.Name, bool]) -> Lane:
    kernel, names = made.stages[stage], given(made, how)
    types, constants = arguments(made, kernel)
    types |= {f"{t.name}_ptr": f"*{t.dtype}" for t in made.plan.spec.tensors if t.is_integer}
    constants["INDEX"] = INDEX
    machine = LaneMachine({f.name: f for f in made.functions}, helpers=MEANT)
    for p in kernel.parameters:
        machine.names[p.text] = names.get(p.text) or argument_of(p.text, types, constants)
    machine.names |= {f.text: value for f, value in flags.items()}
    machine.run(kernel.body)
    there = LaneMachine({})
    there.names = {**names}
    there.names |= {p.name: number(symbol(p.name, "int")) for p in made.given.spec.params if p.is_integer}
    facts = []
    for flag, meaning in how.flags:
        if flag in flags:
            holds = values.tile(there, meaning).lanes.item()
            facts.append(holds if flags[flag] else negate(holds))
    grid = tuple(values.tile(there, n).lanes.item() for n in how.grid(stage))
    touches = tuple(e for e in machine.events if isinstance(e, Touched))
    loops = {e.number: e for e in machine.events if isinstance(e, Loop)}
    calls = tuple(e for e in machine.events if isinstance(e, Called))
    computed = tuple(dict.fromkeys(e for e in machine.events if isinstance(e, Computed)))
    described = tuple(dict.fromkeys(e for e in machine.events if isinstance(e, Described)))
    shared = tuple(dict.fromkeys(e for e in machine.events if isinstance(e, Shared)))
    return Lane(touches, calls, loops, machine.blocks, grid, tuple(facts), machine.names, computed, described, shared)


def length(axis: Index, made: Kernels) -> Term:
    """The length of an axis."""
    return symbol(f"SIZE_{axis.name}" if axis in made.roles.inner else f"size_{axis.name}", "int")


def number(term: Term) -> Tile:
    """An integer of the program."""
    return Tile("int32", filled((), [term]))


def host_integer(value: ir.Value, made: Kernels, how: Launch) -> Term:
    """An integer that the launcher computes of what it passes."""
    there = LaneMachine({})
    there.names = {**given(made, how)}
    return values.tile(there, value).lanes.item()


def given(made: Kernels, how: Launch) -> dict[str, Tile]:
    """The integers that a launcher passes, by name; those that it makes of others, of these."""
    roles = made.roles
    lengths = {a: length(a, made) for a in made.given.spec.axes}
    found: dict[str, Any] = {f"size_{a.name}": n for a, n in lengths.items()}
    found |= {f"SIZE_{a.name}": lengths[a] for a in roles.inner}
    blocks = {block_of(a, roles).text for a in roles.tiles}
    found |= {n: symbol(n, "int") for n in (*blocks, "BLOCK_M", "parts", "side", "size_lead")}
    found |= {"chunk": symbol("chunk", "int"),
              "size_batch": integers.product(LEAD0, LEAD1, *(lengths[a] for a in how.leading))}  # fmt: skip
    if how.cut is not None:
        found[how.cut.chunk.text] = integers.multiply(found[how.cut.tile.text], TILES_OF_A_CHUNK)
    if how.group is not None and roles.rows is not None:
        group = whole(how.group, lambda size: lengths[Index(size.name)])
        found |= {"group_size": group, "groups": integers.quotient_up(lengths[roles.rows], group)}
    return {name: number(term) for name, term in found.items()}
