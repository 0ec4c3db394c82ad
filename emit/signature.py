"""What the functions of a kernel file are given, in the words of its text."""

from __future__ import annotations

from refold.schedule.launch import sized_by
from refold.schedule.lower.renaming import public
from refold.spec import Output, Spec, TensorName

# What the public function takes by name after scalars and lengths, and `out`.
OPTIONS = ("schedule", "splits", "block_m", "block_n", "num_warps", "num_stages")


def signature(spec: Spec) -> list[str]:
    """The tensors that the public function takes, by position."""
    return [t.name for t in spec.tensors]


def words_of(spec: Spec) -> list[str]:
    """What it takes by name: scalars, and lengths that no tensor tells."""
    return [p.name for p in spec.params] + [a.name for a in sized_by(spec)[2]]


def called(names: list[str], users: dict[str, str]) -> list[str]:
    """What the public function calls arguments of these names."""
    return [public(n, users) for n in names]


def public_head(name: str, spec: Spec, users: dict[str, str]) -> list[str]:
    """The head of the public function: on one line what belongs to the pipeline, on the other how it is laid out."""
    parts = [*called(signature(spec), users), "*", *called(words_of(spec), users), "out=None", 'schedule="auto",']
    head = f"def {name}("
    return [head + ", ".join(parts), " " * len(head) + ", ".join(f"{option}=None" for option in OPTIONS[1:]) + "):"]


def shapes_text(spec: Spec, users: dict[str, str]) -> str:
    """The tensors and the outputs with their dimensions, as the user calls them."""

    def shape(of: TensorName | Output) -> str:
        axes = ["...", *(users.get(a.name, a.name) for a in of.axes)]
        return f"{users.get(of.name, of.name)} [{', '.join(axes)}]"

    return f"{'; '.join(map(shape, spec.tensors))} -> {'; '.join(map(shape, spec.outputs))}"


def dtype_of(spec: Spec) -> str | None:
    """The tensor whose dtype the caller chooses, else one of floats; None where all are integers."""
    found = sorted((t for t in spec.tensors if not t.is_integer), key=lambda t: t.dtype != "float")
    return found[0].name if found else None


def quoted(name: str) -> str:
    return f'"{name}"'
