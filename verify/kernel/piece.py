"""One piece of work of a role, from the state before its first tile to what it stores of the state after its last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from refold.schedule import values
from refold.schedule.conditions import negate
from refold.schedule.execute import Object
from refold.schedule.lower.kernels import Kernels
from refold.schedule.outcome import Loop, Outcome, Word
from refold.schedule.terms import Term, make
from refold.schedule.tiles import NoMeaning, Tile, filled, terms
from refold.schedule.walk import assigned
from refold.verify.kernel.cases import Truths, cases
from refold.verify.kernel.prover import Prover
from refold.verify.kernel.roles import Piece, Whole, Work
from refold.verify.kernel.small import MEANT, Small
from refold.verify.kernel.turns import Fill, Stage, normal, turn_of

# Numbers of what stands beside the loops: the state before the first tile, and the one after the last.
BEGIN, END = 1000, 2000


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


def loaded(made: Kernels, kernel: Whole, work: Work) -> tuple[Piece, Term]:
    """Executes a piece of work of the role that copies."""

    def run(truths: Truths) -> tuple[Piece, Term]:
        machine = Piece(kernel.functions, _names(work), helpers=MEANT, made=made, truths=truths)
        return machine, counted(machine.run(work.function.body))

    found = [*cases(run, {})]
    if len(found) != 1:
        raise NoMeaning("a role that copies in several ways")
    return found[0]


def _names(work: Work) -> dict[str, Object]:
    return dict(work.given)


def visited(made: Kernels, prover: Prover, kernel: Whole, work: Work, fills: tuple[Fill, ...], truths: Truths) -> Run:
    """Executes a piece of work of a group: up to its first tile, from any state over its tiles, from any to its end."""
    machine = Piece(kernel.functions, _names(work), helpers=MEANT, made=made, fills=fills, truths=truths)
    body, names = work.function.body, [*prover.components]
    folds = [n for n, s in enumerate(body) if {*assigned([s])} & {*names}]
    if not folds or machine.run(body[: folds[-1]]) is not None or not {*names} <= {*machine.names}:
        raise NoMeaning("a role that has no state to begin with")
    begun = {n: values.as_tile(machine.names[n]) for n in names}
    machine.names |= {n: state("state", BEGIN, n, t) for n, t in begun.items()}
    machine.run(body[folds[-1] : folds[-1] + 1])
    ended = {n: values.as_tile(machine.names[n]) for n in names}
    machine.names |= {n: state("last", END, n, t) for n, t in ended.items()}
    return Run(machine, truths, begun, ended, counted(machine.run(body[folds[-1] + 1 :])))


def counted(results: tuple[Object, ...] | None) -> Term:
    """What a piece of work gives: how many tiles were loaded by its end."""
    if results is None or len(results) != 1:
        raise NoMeaning("a role that does not say how many tiles were loaded")
    return normal(values.as_tile(results[0]).lanes.item())


def state(op: str, number: int, name: str, like: Tile) -> Tile:
    lanes = [make(op, t.sort, (), (number, name, n)) for n, t in enumerate(terms(like.lanes))]
    return Tile(like.dtype, filled(like.shape, lanes))


def uses(run: Run, fill: Fill) -> bool:
    """Whether a role waits for what a copy brings."""
    stages = [e.about[0] for e in run.machine.noted("wait")]
    return any(
        isinstance(s, Stage) and s.buffer == fill.full and turn_of(s.at).channel == fill.turn.channel for s in stages
    )


def settled(run: Run) -> bool:
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


def integer(machine: Piece, name: str) -> Term:
    """What a number of the program is in the end."""
    if name not in machine.names:
        raise NoMeaning(f"a role without {name}")
    (term,) = values.as_tile(machine.names[name]).lanes.ravel().tolist()
    assert isinstance(term, Term)
    return term
