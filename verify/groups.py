"""Obligations in groups: what those that belong together say of a fused form."""

from __future__ import annotations

from dataclasses import dataclass

from refold.verify.result import Result, Verdict, joint_verdict

# What the name of an obligation begins with, and what all of its group say together.
GROUPS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("stages", ("stages", "stages:"), "put in the place of what is read of them, they are the pipeline as written"),
    ("re-association", ("re-association", "re-association:"),
     "what is computed is what was written, by laws of sums and of maxima"),
    ("gradient", ("gradient", "gradient:", "plan"),
     "each pipeline computes what the chain rule gives, by identities of the forward pass"),
    ("form", ("structure", "derived", "state"), "each step reads only what one pass has by then"),
    ("corrections", ("correction", "update", "dropped", "monotone"),
     "what was summed with a stale value is corrected to the fresh one"),
    ("steps", ("init", "step"), "it begins empty, and takes one position after another"),
    ("merging", ("invariant", "unit", "lift", "masked", "merge"),
     "parts of every length, empty ones too, merge in every order"),
    ("outputs", ("reading", "finish", "guard", "empty", "run"), "the last state gives the outputs as written"),
    ("conditions", ("conditions",), "no division by 0, 0/0 or oo - oo beyond those as written"),
    ("exponents", ("range",), "exponents and divisors have the bounds that -v prints"),
    ("tiles", ("index",), "every position once, every output once, all accesses inside"),
    ("kernels", ("refinement",), "what each kernel does, executed on terms, is the fused form"),
)  # fmt: skip
OTHER = "what belongs to no group"


@dataclass(frozen=True, slots=True)
class Group:
    """Obligations of one kind, and what they say together."""

    name: str
    sentence: str
    results: tuple[Result, ...]

    @property
    def verdict(self) -> Verdict:
        """That of all of them."""
        return joint_verdict(self.results)

    @property
    def count(self) -> str:
        """`8`, or `7 of 8` where one is not proved."""
        proved = sum(r.verdict == "proved" for r in self.results)
        return str(proved) if proved == len(self.results) else f"{proved} of {len(self.results)}"

    @property
    def says(self) -> str:
        """The sentence of the group where all is proved; else which of it are not."""
        if self.verdict == "proved":
            return self.sentence
        names = {v: [r.name for r in self.results if r.verdict == v] for v in ("refuted", "unknown")}
        return "; ".join(f"{verdict}: {', '.join(of)}" for verdict, of in names.items() if of)


def group_of(result: Result) -> str:
    """The name of the group of a result."""
    head = result.name.split()[0].rstrip(":")
    return next((name for name, heads, _ in GROUPS if head in heads), "other")


def groups(results: tuple[Result, ...]) -> tuple[Group, ...]:
    """The groups that some results fall into, in a fixed order; each result is in one."""
    says = {name: sentence for name, _, sentence in GROUPS}
    members: dict[str, list[Result]] = {name: [] for name in (*says, "other")}
    for result in results:
        members[group_of(result)].append(result)
    return tuple(Group(name, says.get(name, OTHER), tuple(rs)) for name, rs in members.items() if rs)
