"""A group of warps beside the copies that it reads: whose turn each read is, and which tiles and rows are its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from refold.algebra.tiles import HI, LO
from refold.schedule.conditions import nonnegative
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Word
from refold.schedule.terms import Term, symbol
from refold.verify.kernel.lane import Lane
from refold.verify.kernel.lemmas import at_most, less, positive, same
from refold.verify.kernel.order import reads
from refold.verify.kernel.piece import Run, integer, settled, uses
from refold.verify.kernel.prover import Finding, Prover
from refold.verify.kernel.roles import Piece, Work
from refold.verify.kernel.shares import rows_have_a_piece
from refold.verify.kernel.steps import ORDER, STAGE, Questions
from refold.verify.kernel.subject import Subject
from refold.verify.kernel.turns import Fill, Stage, normal, turn_of
from refold.verify.kernel.visits import ends_of

READS = "reads have the turns 0, 1, 2, ..., and each stage is given back after it"


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

    def begin(self, name: str, step: str, claim: str) -> Finding:
        return Finding(name, f"group {self.number}, {step}", claim)

    def subject(self, run: Run) -> Subject:
        return Subject(self.made, self.prover, STAGE, run.small)

    def order(self, runs: list[Run]) -> Iterator[Finding]:
        """All that is asked of turns, tiles and rows."""
        # Turns over tiles go on where a piece reads none, and what one piece reads every piece does.
        mine = [f for f in self.fills if f.loops or any(uses(run, f) for run in runs)]
        for run in runs:
            yield from self.ordered(run, mine)
        yield self.ranges(runs[0])
        yield self.rows(runs[0])
        found = self.begin(ORDER, "pieces", "every row of every batch is in some piece of work")
        names = runs[0].machine.names
        rows_have_a_piece(self.made, self.work, self.number, self.groups, names, self.questions, found)
        yield found

    def ordered(self, run: Run, mine: list[Fill]) -> Iterator[Finding]:
        """The reads of a run follow each other, and every product is waited for in the loop where it begins."""
        case = "" if run.loops else ", no tile"
        for f in mine:
            found = self.begin(ORDER, f"{f.name}: reads{case}", READS)
            reads(f, run.machine, self.work, run.returned, self.questions, run.facts, found)
            yield found
        found = self.begin(ORDER, f"products{case}", "every product is waited for in the loop in which it was issued")
        words = [e for e in run.machine.events if isinstance(e, Word)]
        found.require({e.name for e in words} <= {"wait", "arrive", "product", "landed"}, "a word of another role")
        known = {(b, f.turn.channel) for f in mine for b in (f.full, f.empty)}
        waits = [e.about[0] for e in words if e.name in ("wait", "arrive")]
        there = all(isinstance(s, Stage) and (s.buffer, turn_of(s.at).channel) in known for s in waits)
        found.require(there, "a barrier of no copy")
        found.require(settled(run), "one is under way at the end of a loop")
        yield found
        found = self.begin(ORDER, f"count{case}", "both roles say that as many tiles were loaded")
        self.questions.require(found, [same(run.returned, self.gone)], run.facts, "they say otherwise:")
        yield found

    def ranges(self, run: Run) -> Finding:
        """The ends of the loops, in both roles, are those of the formulas that the index obligations are about."""
        claim = "the ends of the loops over tiles are those of their formulas, in both roles"
        found, goals = self.begin(ORDER, "ranges", claim), []
        spans = {x for a, b, _ in self.made.ranges.spans for x in (a, b)}
        wanted = ends_of(self.made, "rolling", Lane((), (), {}, {}, (), (), run.machine.names))
        for machine, ends in ((self.load, (LO, HI)), (run.machine, (LO, HI, *sorted(spans - {LO, HI}, key=str)))):
            goals += [same(integer(machine, end.name), normal(wanted[end])) for end in ends]
        self.questions.require(found, goals, fault="an end is another than its formula's:")
        return found

    def rows(self, run: Run) -> Finding:
        """Every row of the group is one of those that the formulas are about."""
        claim = "every row of a group that there is is between the first and the last row of its program"
        found, goals = self.begin(ORDER, "rows", claim), []
        axis = self.made.roles.rows
        assert axis is not None
        row, length = integer(run.machine, axis.name), symbol(f"size_{axis.name}", "int")
        if "first_row" in run.machine.names:
            first = integer(run.machine, "first_row")
            goals += [nonnegative(first), at_most(first, row)]
        if "last_row" in run.machine.names:
            last = integer(run.machine, "last_row")
            goals += [at_most(row, last), less(last, length)]
        # Of an axis without a row there is no piece of work.
        facts = [less(row, length), positive(length), nonnegative(symbol(self.work.name, "int"))]
        self.questions.require(found, goals, facts)
        return found
