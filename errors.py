"""The exceptions refold raises for mistakes of its users: one class a mistake, each text ends in what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

TOO_DEEP = (
    "an expression is nested too deep, a function of a function some hundred times over: "
    "write fewer functions inside of each other, or compute a part before and give it as a tensor"
)


class RefoldError(Exception):
    """Base of every error a user can cause. `str(error)` is one message: the place, what is wrong, what to do."""


class UsageError(RefoldError):
    """A file, a name or a folder given on the command line cannot be used."""


class SpecError(RefoldError):
    """A pipeline that is malformed as written."""


class NameTaken(SpecError):
    """One name for two things."""


class UnknownName(SpecError):
    """A reference to something that no one defined."""


class UnboundAxis(SpecError):
    """An axis occurs free where nothing binds it."""


class ShadowedAxis(SpecError):
    """An axis is bound twice, so that the outer binding has nothing to range over."""


class RankError(SpecError):
    """A tensor is read with the wrong number of indices, or with an index that is not an integer."""


class FoldError(SpecError):
    """A fold over an axis that its body lacks, or over something that is no axis."""


class NoSuchFold(FoldError, AttributeError):
    """A word for a fold that there is none of."""


class CycleError(SpecError):
    """Outputs that refer to each other in a circle."""


class HeadError(SpecError):
    """A SymPy function that refold has no meaning for."""


class PredicateError(SpecError):
    """A condition over data where one over indices is needed, or a condition used as a truth value."""


class UnsupportedSpec(RefoldError):
    """A well-formed spec of a shape that this version does not derive or emit."""


class NoGradient(UnsupportedSpec):
    """A gradient that is asked for and is not defined, or that this version does not derive."""


@contextmanager
def within_depth() -> Iterator[None]:
    """Within, or in a function so decorated, an expression that Python cannot walk is an `UnsupportedSpec`."""
    try:
        yield
    except RecursionError:
        raise UnsupportedSpec(TOO_DEEP) from None


class ClaimError(RefoldError):
    """A claimed fused form that does not fit its spec; `place` is the file and the line of the function at fault."""

    place: tuple[str, int] | None = None


class EmitError(RefoldError):
    """A proof that cannot become a kernel."""
