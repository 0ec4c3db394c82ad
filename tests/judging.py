"""Mutants of an example's kernels, as modules and as text, and who refutes each: without a run, where that is known.

A mutant of a module is refuted by an obligation that is not proved of it. A mutant of the text is refuted by Triton's
front end, which does not take it, or by what it reads, which is not what the module computes. What none of them
refutes is run: a run that fails shows that the mutant is another function, and that the proof has a hole.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import kernel_mutation
import module_mutation
from support.front_end import FORMS, captured, divergences, made_of

from refold.emit import runtime
from refold.emit.triton import module_lines
from refold.schedule.capture import Captured
from refold.schedule.lower.kernels import Kernels
from refold.schedule.tiles import NoMeaning
from refold.verify.kernel.prover import Prover
from refold.verify.verify import invariants_of

HERE = Path(__file__).parent
# So many texts are read by one process.
BATCH = 16


@dataclass(frozen=True, slots=True)
class Fate:
    """A mutant of a `module` or of a `text`, and what refuted it: an obligation, a reading of its text, or a run.

    `what` is empty for a survivor, whose reason is the explanation of why it is the same function, if one is known.
    """

    kind: str
    mutant: str
    what: str
    reason: str


def of_modules(name: str, every: int, first: int = 0, *, runs: bool = True) -> Iterator[Fate]:
    """What became of mutants of the kernels as data; without `runs` a survivor is one before any run."""
    made = made_of(name)
    prover = Prover(made, invariants_of(made.given))
    survivors: dict[str, str] = {}
    source, right = kernel_mutation.kernel_of(name).source, module_lines(made.module)
    assert right in source
    for what, wrong in [*module_mutation.mutants(made)][first::every]:
        obligation = module_mutation.refuted_by(wrong, prover)
        if obligation is not None:
            yield Fate("module", what, "obligation", obligation)
        else:
            mutant = f"{what.partition(':')[0]}: {module_mutation.shown(made, wrong)}"
            survivors[mutant] = source.replace(right, module_lines(wrong.module))
    yield from of_runs("module", name, survivors) if runs else unrun("module", survivors)


def of_texts(name: str, every: int, first: int = 0, *, runs: bool = True) -> Iterator[Fate]:
    """What became of mutants of the text; `runs` as above."""
    made, survivors = made_of(name), {}
    sources = {m.name: m.source for m in kernel_mutation.mutants(kernel_mutation.kernel_of(name).source)[first::every]}
    for mutant, place in divergent(made, sources).items():
        if place is None:
            survivors[mutant] = sources[mutant]
        else:
            yield Fate("text", mutant, *place)
    yield from of_runs("text", name, survivors) if runs else unrun("text", survivors)


def divergent(made: Kernels, sources: dict[str, str]) -> dict[str, tuple[str, str] | None]:
    """Of every text what refutes it, and where."""
    found: dict[str, tuple[str, str] | None] = dict.fromkeys(sources)
    for form in FORMS:
        texts = {name: kernels_in(made, source) for name, source in sources.items() if found[name] is None}
        for name, read in read_each(made, texts, form).items():
            if read is None:
                found[name] = "front end", "Triton does not take it"
                continue
            try:
                places = [d.place for d in divergences(made, read, *form).values() if d is not None]
            except (AssertionError, NoMeaning) as error:
                places = [f"it has another meaning, or none: {error}"]
            if places:
                found[name] = "validation", places[0]
    return found


def kernels_in(made: Kernels, source: str) -> str:
    """What Triton compiles of an emitted file."""
    functions = [f for f in ast.parse(source).body if isinstance(f, ast.FunctionDef) and f.decorator_list]
    triton = [f for f in functions if "triton.jit" in map(ast.unparse, f.decorator_list)]
    return "\n\n\n".join([*(runtime.helpers()[h] for h in made.helpers), *map(ast.unparse, triton)])


def read_each(made: Kernels, texts: dict[str, str], form: tuple[str, str]) -> dict[str, dict[str, Captured] | None]:
    """What the front end reads in every text, None where it refuses one."""
    rest, found = [*texts], {}
    while rest:
        part, rest = rest[:BATCH], rest[BATCH:]
        found |= _read(made, {name: texts[name] for name in part}, form)
    return found


def _read(made: Kernels, texts: dict[str, str], form: tuple[str, str]) -> dict[str, dict[str, Captured] | None]:
    """The same of texts that one process reads, or, where it refuses one of them, of each half."""
    names = [*texts]
    try:
        return dict(zip(names, captured((made, texts[n], *form) for n in names), strict=True))  # type: ignore[misc]
    except RuntimeError:
        if len(names) == 1:
            return {names[0]: None}
        halves = names[: len(names) // 2], names[len(names) // 2 :]
        return {n: r for half in halves for n, r in _read(made, {n: texts[n] for n in half}, form).items()}


def unrun(kind: str, survivors: Iterable[str]) -> Iterator[Fate]:
    """Mutants that nothing refuted, with what is known of them."""
    return (Fate(kind, mutant, "", kernel_mutation.explanation(mutant) or "") for mutant in survivors)


def of_runs(kind: str, name: str, survivors: dict[str, str]) -> Iterable[Fate]:
    """What the bundle's own test file says of mutants; in a process of its own, whose triton interprets."""
    if not survivors:
        return
    command = [sys.executable, "-W", "ignore", str(HERE / "kernel_mutation.py"), name]
    done = subprocess.run(command, input=json.dumps(survivors), stdout=subprocess.PIPE, text=True,
                          env=os.environ | {"TRITON_INTERPRET": "1"}, check=True)  # fmt: skip
    for mutant, check in json.loads(done.stdout).items():
        reason = kernel_mutation.explanation(mutant) or ""
        yield Fate(kind, mutant, "" if check is None else "run", reason if check is None else check)
