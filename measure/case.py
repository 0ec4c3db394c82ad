"""What there is to measure of a bundle, as plain data: sizes, inputs, and who else computes the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from refold.errors import UsageError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Attention:
    """A pipeline as softmax attention over `keys`, in the words of FlexAttention and SDPA.

    `batch` are the axes before the rows of q; `shared` says at which axis k and v are read for each of them (a grouped
    one, the same, or "" for none). `rows` is "" for one row. `scale`, `mask` and `score` are Python texts over
    b_idx, h_idx, q_idx, kv_idx, `score` (the scaled product), sizes, scalars and tensors; "" where there is none.
    """

    q: str
    k: str
    v: str
    batch: tuple[str, ...]
    shared: tuple[str, ...]
    rows: str
    keys: str
    d: str
    e: str
    scale: str
    mask: str = ""
    score: str = ""
    causal: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A function of a library that computes the same outputs: its text over tensors and scalars by their names."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """One bundle and how to measure it.

    `sizes` are those of all axes, `derived` texts of those that follow from `size` of others (the pages of a cache),
    `sweep` the axes that take each of `lengths` together, `budget` the number of
    elements that `fill` (an axis) makes the whole come to, where it is set. `lead` are leading dimensions, which the
    tensors in `led` have. `integers` says of each integer tensor along which axis it holds positions ("" for small
    numbers), and the value of a mark among them or None; `positive` are the tensors whose elements are. `keywords` are
    axes whose length the launcher is told.
    `cut` are axes of which the last position can be computed on its own.
    `dots` are the axes of each contraction, `held` those of the largest tensor that the eager form makes.
    """

    name: str
    spec: str
    sizes: dict[str, int]
    sweep: tuple[str, ...]
    lengths: tuple[int, ...]
    dtype: str
    derived: dict[str, str] = field(default_factory=dict)
    fill: str = ""
    budget: int = 0
    lead: tuple[int, ...] = ()
    led: tuple[str, ...] = ()
    scalars: dict[str, float | int] = field(default_factory=dict)
    integers: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    positive: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    dots: tuple[tuple[str, ...], ...] = ()
    held: tuple[str, ...] = ()
    attention: Attention | None = None
    why: str = ""
    calls: tuple[Call, ...] = ()

    def at(self, length: int) -> dict[str, int]:
        """The sizes of all axes at one length of those that are swept."""
        size = self.sizes | dict.fromkeys(self.sweep, length)
        if self.fill and self.fill not in self.sweep:
            others = 1
            for axis, n in size.items():
                others *= n if axis != self.fill else 1
            size[self.fill] = max(1, self.budget // others)
        for axis, text in self.derived.items():
            size[axis] = eval(text, {"size": size})  # a text of refold.measure.build
        return size

    def write(self, folder: Path) -> Path:
        path = folder / f"{self.name}.bench.json"
        path.write_text(json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n", encoding="utf-8")
        return path


def read(path: Path) -> Case:
    """The case of a file that `Case.write` wrote."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: no case to measure: {error}: write it with 'refold bench SPEC -o DIR'") from None
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise UsageError(f"{path}: written by another version: write it again with 'refold bench SPEC -o DIR'")
    attention = data["attention"]
    data |= {
        "attention": None if attention is None else Attention(**{k: _tuple(v) for k, v in attention.items()}),
        "calls": tuple(Call(**c) for c in data["calls"]),
        "integers": {k: _tuple(v) for k, v in data["integers"].items()},
        "dots": tuple(tuple(d) for d in data["dots"]),
    }
    return Case(**{k: _tuple(v) for k, v in data.items()})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def found(folder: Path) -> tuple[Path, ...]:
    """The cases in a folder and in the folders in it."""
    paths = tuple(sorted({*folder.glob("*.bench.json"), *folder.glob("*/*.bench.json")}))
    if not paths:
        raise UsageError(f"{folder}: no *.bench.json in it: write a bundle there with 'refold bench SPEC -o {folder}'")
    return paths


def adjusted(
    case: Case,
    sizes: Iterable[str] = (),
    lengths: str = "",
    dtype: str = "",
    scalars: Iterable[str] = (),
    lead: str = "",
) -> Case:
    """The case with what a user asked for: `j=1024,4096` sweeps, `d=64` sets, lengths go to what is swept."""
    fixed: dict[str, int] = {}
    swept: dict[str, tuple[int, ...]] = {}
    for name, text in map(_pair, sizes):
        if name not in case.sizes:
            raise UsageError(f"{name} is no axis of {case.name}: give one of {', '.join(case.sizes)}, as in j=1024")
        values = _numbers(text, f"{name}={text}")
        if len(values) == 1:
            fixed[name] = values[0]
        else:
            swept[name] = values
    if len(set(swept.values())) > 1:
        raise UsageError("axes swept together have the same lengths: give one list for all of them, as in --lengths")
    known: dict[str, float | int] = {}
    for name, text in map(_pair, scalars):
        if name not in case.scalars:
            there = ", ".join(case.scalars) or "none"
            raise UsageError(f"{name} is no scalar of {case.name}, which has {there}: give one of them, as in cap=50")
        try:
            known[name] = int(text) if isinstance(case.scalars[name], int) else float(text)
        except ValueError:
            raise UsageError(f"{name}={text} is no number: give one, as in {name}=50") from None
    if lead and not case.led:
        raise UsageError(f"no tensor of {case.name} takes leading dimensions: drop --lead")
    sweep = tuple(swept) or tuple(a for a in case.sweep if a not in fixed)
    steps = next(iter(swept.values()), case.lengths)
    if lengths:
        if swept:
            raise UsageError("both --sizes and --lengths give a list: give one of them")
        steps = _numbers(lengths, f"--lengths {lengths}")
    if not sweep:
        steps = steps[:1]
    return replace(
        case, sizes=case.sizes | fixed, sweep=sweep, lengths=steps, dtype=dtype or case.dtype,
        lead=_numbers(lead, f"--lead {lead}") if lead else case.lead, scalars=case.scalars | known,
        derived={a: t for a, t in case.derived.items() if a not in {*fixed, *sweep}},
        fill="" if case.fill in fixed or case.fill in sweep else case.fill,
    )  # fmt: skip


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise UsageError(f"{text!r} is no NAME=VALUE: write it as in j=1024")
    return name, value


def _numbers(text: str, where: str) -> tuple[int, ...]:
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise UsageError(f"{where}: give positive integers, separated by commas")
    return values
