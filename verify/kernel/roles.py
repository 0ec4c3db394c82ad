"""The roles of the kernel for Hopper beside each other: their pieces of work, and the order of copies and of reads.

What is trusted of a barrier is this. Let the copies of a tensor be numbered 0, 1, 2, ... in the order of the role that
makes them, and the reads of each other role in its order; let copy and read number `n` be at stage `n % size`, wait for
the barriers of that stage, for `full` by the parity of `n // size` and for `empty` by the other one, and let as many
arrive as each barrier counts. Then read `n` sees what copy `n` has brought. All but this is shown here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refold.schedule import integers, ir
from refold.schedule.conditions import TRUE, nonnegative
from refold.schedule.execute import Descriptor, Object
from refold.schedule.execute import argument as argument_of
from refold.schedule.integers import add, multiply, subtract, value_of, whole
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Loop, Word
from refold.schedule.terms import Term, below, make, symbol
from refold.schedule.tiles import NoMeaning, Tile, filled, terms
from refold.schedule.walk import contains, parts
from refold.verify.kernel.asked import Asked
from refold.verify.kernel.lemmas import less, positive, same
from refold.verify.kernel.multiples import cofactor, simplified
from refold.verify.kernel.prover import Finding
from refold.verify.kernel.questions import answer
from refold.verify.kernel.small import MEANT, arguments
from refold.verify.kernel.warps import (  # fmt: skip
    BLOCK_M,
    BLOCK_N,
    ROW,
    Buffer,
    Fill,
    Opaque,
    Role,
    Stage,
    Turn,
    Warps,
    Whole,
    normal,
    turn_of,
)

ZERO, ONE = whole(0), whole(1)
# The names of the kernel, and of what is shown of its barriers, in obligations.
STAGE, ORDER = "hopper", "order of copies"
PROGRAM, PROGRAMS = symbol("program 0", "int"), symbol("programs 0", "int")
# What is so in every launch.
FACTS = (*map(positive, (BLOCK_M, BLOCK_N, symbol("SIZE_ring", "int"))), nonnegative(ROW), less(ROW, BLOCK_M),
         nonnegative(PROGRAM), less(PROGRAM, PROGRAMS))  # fmt: skip
SYMBOLS = ("BLOCK_M", "BLOCK_N", "SIZE_ring")


def number(t: Term) -> Tile:
    """An integer of the program."""
    return Tile("int32", filled((), [t]))


@dataclass(frozen=True, slots=True)
class Work:
    """A role: its loop over pieces of work, and what it calls for one of them.

    `given` are the arguments of that call, with a symbol for each that varies; `first` and `after` say what such a
    symbol is in the first piece, and in the next one.
    """

    function: ir.Function
    given: Mapping[str, Object]
    order: tuple[object, ...]
    condition: Term
    loop: Loop
    varying: Mapping[str, Term]

    @property
    def number(self) -> Term | None:
        """The number of a piece of work, in the loop over them."""
        found = [t for t in self.varying.values() if t is not iteration(self.loop) and t.op != "state"]
        return found[0] if len(found) == 1 else None

    @property
    def count(self) -> Term | None:
        """How many pieces of work there are: a number below it is one, and every other is none."""
        if self.number is None or self.condition.op != ">=0":
            return None
        found = add(self.condition.args[0], self.number, ONE)
        varies = any(t.op in ("iteration", "state", "last") or t is PROGRAM for t in below(found))
        return None if varies else found

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


def iteration(loop: Loop) -> Term:
    return make("iteration", "int", (), loop.number)


@dataclass(slots=True)
class Questions:
    """Asks what is so of integers, for one obligation after the other."""

    facts: tuple[Term, ...]
    asked: Asked = field(default_factory=Asked)
    count: int = 0

    def require(self, finding: Finding, goals: Iterable[Term], facts: Iterable[Term] = (), fault: str = "") -> None:
        """Takes in whether goals are so."""
        left = [g for g in simplified(goals, (BLOCK_N,)) if g is not TRUE]
        if not left:
            return
        known = [f for f in simplified([*self.facts, *facts], (BLOCK_N,)) if f is not TRUE]
        question = replace(self.asked.question(known, left), name=finding.name, claim=finding.claim)
        result = answer(replace(question, part=self.count))
        self.count += 1
        finding.seconds += result.seconds
        finding.proof |= dict.fromkeys(result.proof)
        finding.require(result.verdict == "proved", f"{fault or 'it was not shown of all sizes'} {result.note}".strip())


# --- the kernel and its roles ----------------------------------------------------------------------------------------


def started(made: Kernels, functions: tuple[ir.Function, ...]) -> tuple[ir.Function, Whole]:
    """The kernel, executed up to its roles."""
    (kernel,) = (f for f in functions if any(contains(s, ir.Specialise) for s in f.body))
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
    body, given, varying = piece.about
    assert isinstance(body, ir.Function) and isinstance(given, dict) and isinstance(varying, dict)
    carried = tuple((c.name, *terms(c.start), *terms(c.then)) for c in loop.carried)
    order = (*varying.items(), piece.condition, loop.start, loop.stop, loop.step, loop.condition, carried)
    return Work(body, given | {n: number(symbol(n, "int")) for n in varying}, order, piece.condition, loop, varying)


def begin(step: str, claim: str) -> Finding:
    """A step about the order of copies of which nothing is said yet."""
    return Finding(STAGE, ORDER, step, claim)


def pieces(works: list[Work], questions: Questions) -> Iterator[Finding]:
    """All roles go over the same pieces of work, in one order, and none comes after one that is none."""
    found = begin("pieces of work", "every role takes the same pieces in the same order, with the same numbers")
    found.require(len({w.order for w in works}) == 1, "one takes other pieces")
    yield found
    found = begin(
        "last piece", "numbers of pieces are not negative, and after one that is no piece of work there is none"
    )
    one, loop = works[0], works[0].loop
    work = one.number
    found.require(work is not None and loop.start is ZERO and loop.step is ONE, "the pieces are not numbered")
    if work is not None:
        found.require(one.count is not None, "which numbers are pieces varies")
        later = integers.replaced(work, {iteration(loop): add(iteration(loop), ONE)})
        questions.require(found, [less(work, later), nonnegative(work)], [nonnegative(iteration(loop))])
    yield found


# --- barriers --------------------------------------------------------------------------------------------------------


def barriers(machine: Whole, fills: tuple[Fill, ...], users: Mapping[Fill, int]) -> Finding:
    """Each barrier of each stage counts those who arrive at it, before any role begins; no two copies share a stage."""
    found = begin("barriers", "every barrier counts those who arrive at it, and no two copies share a stage")
    words = [e.name for e in machine.events if isinstance(e, Word) and e.name in ("init", "fence", "role")]
    split = words.index("fence") if "fence" in words else 0
    found.require("init" not in words[split:] and {*words[split + 1 :]} == {"role"}, "a role begins before")
    expected = {f.full: 1 for f in fills} | {f.empty: users[f] for f in fills}
    for buffer, count in expected.items():
        found.require(_inits(machine, buffer) == count, f"{buffer.name} counts others than arrive")
        same_buffers = {f.buffers for f in fills if buffer in (f.full, f.empty)}
        found.require(len(same_buffers) == 1, f"{buffer.name} is the barrier of buffers of two tensors")
    for f in fills:
        name = f.buffers.name
        found.require(len({f.full.number, f.empty.number, f.buffers.number}) == 3, f"{name} shares a buffer")
        found.require(f.full.shape == f.empty.shape == ((ZERO,),), f"{name} has no barrier for each stage")
        found.require(f.full.count is f.empty.count is f.buffers.count, f"{name} has other stages than barriers")
    for buffers in dict.fromkeys(f.buffers for f in fills):
        turns = [f.turn for f in fills if f.buffers == buffers]
        found.require(_apart(turns, buffers.count), f"two turns of {buffers.name} share a stage")
    return found


def _inits(machine: Whole, buffer: Buffer) -> int | None:
    """The count of all barriers of a buffer, where every one has the same."""
    loops = {e.number: e for e in machine.events if isinstance(e, Loop)}
    mine = [e for e in machine.noted("init") if isinstance(e.about[0], Stage) and e.about[0].buffer == buffer]
    counts, stages = {e.about[1] for e in mine}, [e.about[0].at for e in mine]  # type: ignore[attr-defined]
    if len(counts) != 1:
        return None
    known = value_of(buffer.count)
    all_there = known is not None and stages == [whole(n) for n in range(known)]
    if len(mine) == 1 and len(mine[0].loops) == 1:
        loop = loops[mine[0].loops[0]]
        all_stages = loop.start is ZERO and loop.step is ONE and loop.stop is buffer.count
        all_there = all_stages and stages[0] is iteration(loop)
    (count,) = counts
    return count if all_there and isinstance(count, int) else None


def _apart(turns: list[Turn], count: Term) -> bool:
    """Whether turns have stages of their own, of so many."""
    if len(turns) == 1 and turns[0].size is count:
        return (turns[0].factor, turns[0].offset) == (1, 0)
    taken: list[int] = []
    for t in turns:
        size = value_of(t.size)
        if size is None:
            return False
        taken += [t.factor * n + t.offset for n in range(size)]
    limit = value_of(count)
    return limit is not None and len({*taken}) == len(taken) and {*taken} <= {*range(limit)}


# --- copies ----------------------------------------------------------------------------------------------------------


def fills_of(machine: Warps) -> tuple[Fill, ...]:
    """The copies of a role, each after it has waited for its stage and said what is to come."""
    words, found = [e for e in machine.events if isinstance(e, Word)], []
    if not all(isinstance(e, Word | Loop) for e in machine.events):
        raise NoMeaning("a role that copies, and does something else")
    if [e.name for e in words] != ["wait", "expect", "copy"] * (len(words) // 3):
        raise NoMeaning("a copy without a wait for its stage, or without its bytes")
    for wait, expect, copy in zip(words[::3], words[1::3], words[2::3], strict=True):
        (empty, phase), (expecting, size), (tensor, corner, full, into) = wait.about, expect.about, copy.about
        assert isinstance(empty, Stage) and isinstance(full, Stage) and isinstance(into, Stage)
        assert isinstance(tensor, Descriptor) and isinstance(corner, tuple)
        turn = turn_of(into.at)
        if any(t.op in ("state", "last", "trips") for t in below(*corner)):
            raise NoMeaning(f"{into.buffer.name}: a corner that is not known")
        if not (empty.at is full.at is into.at) or expecting != full:
            raise NoMeaning(f"{into.buffer.name}: a copy of which the barriers are of another stage")
        if phase is not make("^", "int", (turn.parity, ONE)):
            raise NoMeaning(f"{into.buffer.name}: a copy that waits by another parity than its turn's")
        if size != Opaque(f"nbytes of block_type of {tensor.name}"):
            raise NoMeaning(f"{into.buffer.name}: a copy of other bytes than its barrier expects")
        if not wait.loops == expect.loops == copy.loops:
            raise NoMeaning(f"{into.buffer.name}: a copy in another loop than its barriers")
        buffers = (full.buffer, empty.buffer, into.buffer)
        found.append(Fill(*buffers, replace(turn, turn=normal(turn.turn)), tensor.name, corner, copy.loops))
    return tuple(found)


def tiles(loop: Loop) -> tuple[Term, Term]:
    """Of a loop over tiles the numbers of its first tile and of the one after its last."""
    ends = [normal(t) for t in (loop.start, loop.stop)]
    first, last = (cofactor(t, (BLOCK_N,)) for t in ends)
    if loop.step is not BLOCK_N or loop.condition is not TRUE or [multiply(BLOCK_N, t) for t in (first, last)] != ends:
        raise NoMeaning("a loop that does not go from tile to tile")
    return first, last


def trips(loop: Loop) -> Term:
    """How many tiles a loop visits."""
    first, last = tiles(loop)
    return integers.greatest(subtract(last, first), ZERO)


def copied(fill: Fill, machine: Warps, work: Work, returned: Term, questions: Questions) -> Finding:
    """The copies to the buffers of a tensor are numbered 0, 1, 2, ... through all pieces of work."""
    found = begin(f"{fill.name}: copies", "copies have the turns 0, 1, 2, ... through all pieces of work")
    loops = {e.number: e for e in machine.events if isinstance(e, Loop)}
    count = trips(loops[fill.loops[-1]]) if fill.loops else ONE
    numbered(found, fill, work, returned, questions, [(fill.first, count)])
    return found


def reads(fill: Fill, machine: Warps, work: Work, returned: Term, questions: Questions, facts: Iterable[Term],
          found: Finding) -> None:  # fmt: skip
    """The reads of buffers by one role have the turns 0, 1, 2, ..., and each gives its stage back."""
    loops = {e.number: e for e in machine.events if isinstance(e, Loop)}
    mine: list[tuple[Word, Turn]] = []
    for e in machine.noted("wait", "arrive"):
        stage = e.about[0]
        assert isinstance(stage, Stage)
        if stage.buffer in (fill.full, fill.empty) and turn_of(stage.at).channel == fill.turn.channel:
            mine.append((e, turn_of(stage.at)))
            right = stage.buffer == (fill.full if e.name == "wait" else fill.empty)
            found.require(right, "a wait for what it gives back")
            found.require(e.name == "arrive" or e.about[1] is mine[-1][1].parity, "a wait by another parity")
    found.require([e.name for e, _ in mine] == ["wait", "arrive"] * (len(mine) // 2), "a stage is not given back")
    uses: list[tuple[Term, Term]] = []
    for (wait, turn), (arrive, given) in zip(mine[::2], mine[1::2], strict=False):
        found.require(wait.loops == arrive.loops and turn == given, "another stage is given back than was read")
        if wait.loops:
            number = wait.loops[-1]
            found.require(len(wait.loops) == 1, "a loop within a loop")
            here = normal(integers.replaced(turn.turn, {loops[number].start: normal(loops[number].start)}))
            first = subtract(here, iteration(loops[number]))
            steady = not any(t.op in ("iteration", "state") for t in below(first))
            found.require(steady, "the turns of a loop are not one after the other")
            uses.append((first, trips(loops[number])))
        else:
            uses.append((normal(turn.turn), ONE))
    numbered(found, fill, work, returned, questions, uses, facts)


def numbered(found: Finding, fill: Fill, work: Work, returned: Term, questions: Questions,
             uses: list[tuple[Term, Term]], facts: Iterable[Term] = ()) -> None:  # fmt: skip
    """Runs of turns, each by its first and how many, follow each other within a piece, and from piece to piece."""
    begin, goals = fill.first, []
    start, after = work.start(), work.next(returned)
    at = [t for t in below(begin) if t.op == "symbol" and str(t.data) in work.varying]
    found.require({*at} <= start.keys() & after.keys(), "the first turn of a piece does not follow from the one before")
    found.require(normal(integers.replaced(begin, start)) is ZERO, "the first turn is not 0")
    expected = begin
    for first, count in uses:
        # A loop without an iteration reads nothing, whatever its first turn would be.
        there = less(ZERO, count)
        goals.append(make("or", "bool", (less(count, ONE), same(first, expected))) if there is not TRUE
                     else same(first, expected))  # fmt: skip
        expected = add(expected, count)
    goals.append(same(expected, integers.replaced(begin, after)))
    questions.require(found, [g for g in goals if g is not TRUE], facts, "the turns do not follow each other:")
