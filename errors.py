"""The exceptions refold raises for mistakes of its users: one class a mistake, each text ends in what to do."""

from __future__ import annotations


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


class CycleError(SpecError):
    """Outputs that refer to each other in a circle."""


class HeadError(SpecError):
    """A SymPy function that refold has no meaning for."""


class PredicateError(SpecError):
    """A condition over data where one over indices is needed, or a condition used as a truth value."""


class UnsupportedSpec(RefoldError):
    """A well-formed spec of a shape that this version does not derive or emit."""


class ClaimError(RefoldError):
    """A claimed fused form that does not fit its spec; `place` is the file and the line of the function at fault."""

    place: tuple[str, int] | None = None


class EmitError(RefoldError):
    """A proof that cannot become a kernel."""
