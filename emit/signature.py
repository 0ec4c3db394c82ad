"""What the functions of a kernel file are given, in the words of its text."""

from __future__ import annotations

from refold.schedule.launch import sized_by
from refold.spec import Output, Spec, TensorName

# What the public function takes by name after scalars and lengths, and `out`.
OPTIONS = ("schedule", "splits", "block_m", "block_n", "num_warps", "num_stages")


def signature(spec: Spec) -> list[str]:
    """The tensors that the public function takes, by position."""
    return [t.name for t in spec.tensors]


def words_of(spec: Spec) -> list[str]:
    """What it takes by name: scalars, and lengths that no tensor tells."""
    return [p.name for p in spec.params] + [a.name for a in sized_by(spec)[2]]


def axes_text(of: TensorName | Output, users: dict[str, str]) -> list[str]:
    """The dimensions of a tensor or an output, as the user calls them."""
    return ["...", *(users.get(a.name, a.name) for a in of.axes)]


def dtype_of(spec: Spec) -> str | None:
    """The tensor whose dtype the caller chooses, else one of floats; None where all are integers."""
    found = sorted((t for t in spec.tensors if not t.is_integer), key=lambda t: t.dtype != "float")
    return found[0].name if found else None


def quoted(name: str) -> str:
    return f'"{name}"'
