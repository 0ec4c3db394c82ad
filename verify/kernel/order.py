"""The order of copies and of reads of the kernel for Hopper: whose turn each is, and who waits for whom.

What is trusted of a barrier is this. Let the copies of a tensor be numbered 0, 1, 2, ... in the order of the role that
makes them, and the reads of each other role in its order; let copy and read number `n` be at stage `n % size`, wait for
the barriers of that stage, for `full` by the parity of `n // size` and for `empty` by the other one, and let as many
arrive as each barrier counts. Then read `n` sees what copy `n` has brought. All but this is shown here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from refold.schedule import integers
from refold.schedule.conditions import TRUE
from refold.schedule.execute import Descriptor
from refold.schedule.integers import add, multiply, subtract, value_of, whole
from refold.schedule.outcome import Loop, Word
from refold.schedule.terms import Term, below, make
from refold.schedule.tiles import NoMeaning
from refold.verify.kernel.lemmas import less, same
from refold.verify.kernel.multiples import cofactor
from refold.verify.kernel.prover import Finding
from refold.verify.kernel.roles import Whole, Work, iteration
from refold.verify.kernel.steps import Questions, begin
from refold.verify.kernel.turns import BLOCK_N, ONE, ZERO, Buffer, Fill, Opaque, Stage, Turn, normal, turn_of
from refold.verify.kernel.warps import Warps


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
    """Whether turns have stages of their own, of so many: `factor * (turn % size) + offset`, each its own offset."""
    factor, size = turns[0].factor, turns[0].size
    alike = all(t.factor == factor and t.size is size for t in turns)
    return alike and sorted(t.offset for t in turns) == [*range(factor)] and multiply(whole(factor), size) is count


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
