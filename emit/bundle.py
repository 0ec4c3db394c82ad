"""A kernel with its test and its proof: made from a proof alone, and written to a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from refold.algebra import Plan
from refold.emit import runtime
from refold.emit.hopper import file_name, hopper_text
from refold.emit.launcher import UNTRIED, module_text
from refold.emit.prooftest import test_text
from refold.errors import EmitError, within_depth
from refold.schedule.lower.gluon import gluon_kernel
from refold.schedule.lower.kernels import Kernels, kernels
from refold.schedule.lower.renaming import function_name
from refold.verify import Proof
from refold.verify.certificate import recheck
from refold.verify.certificate.document import document
from refold.verify.certificate.files import write_together


@dataclass(frozen=True, slots=True)
class Kernel:
    """NAME.py (kernels, launcher, eager reference), what it loads, test_NAME.py and NAME.proof.json, as texts."""

    name: str
    proof: Proof
    # What the texts are printed from.
    made: Kernels = field(repr=False, compare=False)
    source: str
    # Empty where NAME.py holds it.
    runtime: str
    # NAME_hopper.py; empty where NAME.py holds it or there is none.
    hopper: str
    # The sentence in the header of NAME.py that says whether the kernel has run.
    note: str = UNTRIED

    def noted(self, note: str) -> Kernel:
        """The same with another sentence."""
        return replace(self, source=self.source.replace(self.note, note, 1), note=note)

    @property
    def test(self) -> str:
        """test_NAME.py. Made where it is asked for, as the proof file: a kernel that is only called needs neither."""
        spec, single = self.proof.plan.spec, not self.runtime
        return test_text(self.name, self.made, spec, hopper=bool(self.hopper), single_file=single)

    @property
    def document(self) -> str:
        """NAME.proof.json, of these very texts."""
        texts = {"kernel": self.source, "hopper": self.hopper, "runtime": self.runtime}
        return document(self.proof, self.name, texts)

    @property
    def code(self) -> dict[str, str]:
        """The files without which the function does not run: NAME.py first, and what it loads."""
        beside = {file_name(self.name): self.hopper, runtime.FILE: self.runtime}
        return {f"{self.name}.py": self.source} | {file: text for file, text in beside.items() if text}

    def write(self, folder: str | Path) -> tuple[Path, ...]:
        """Writes the bundle, with the checker of the proof and its SMT-LIB texts in NAME.smt2/; returns the paths.

        Either all of it is written or nothing, so that no kernel stands beside the tests and the proof of another.
        """
        root = Path(folder)
        files = {
            **self.code,
            f"test_{self.name}.py": self.test,
            f"{self.name}.proof.json": self.document,
            "recheck.py": Path(recheck.__file__).read_text(encoding="utf-8"),
        }
        for n, result in enumerate(self.proof.results):
            if result.smt2:
                slug = re.sub(r"[^A-Za-z0-9]+", "-", result.name).strip("-")
                files[f"{self.name}.smt2/{n:02}-{slug}.smt2"] = result.smt2
        paths = {root / name: text for name, text in files.items()}
        write_together(paths)
        return tuple(paths)

    def __str__(self) -> str:
        lines = len(self.source.splitlines())
        _, *beside = self.code
        files = ", ".join([f"{self.name}.py ({lines} lines)", *beside, f"test_{self.name}.py, {self.name}.proof.json"])
        count = f"{len(self.proof.results)} obligations, all proved"
        return f"kernel {self.name}: {files}\n  {count}; .source is its text, .write(folder) writes the bundle"

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return f"**{self}**\n\n```python\n{self.source}\n```"


@within_depth()
def emit_plan(proof: Proof, name: str = "fused", *, single_file: bool = False, exact: tuple[str, ...] = ()) -> Kernel:
    """The bundle of a proved plan; with `single_file` NAME.py holds what it else loads from files beside it.

    The outputs in `exact` are float32 whatever the inputs are: those that another kernel goes on with.
    Raises `EmitError` for anything but a proof, or a pipeline of no known kernel.
    """
    if not isinstance(proof, Proof):
        raise EmitError(
            f"emit takes a Proof, not a {type(proof).__name__}: pass what refold.verify returns when all is proved"
        )
    _check(proof.plan, name)
    name = function_name(name, proof.plan.spec, runtime.names() if single_file else frozenset())
    made = kernels(proof.plan, name)
    source, hopper = _texts(proof.plan, name, made, single_file=single_file, exact=exact)
    return Kernel(name, proof, made, source, "" if single_file else runtime.text(), hopper)


def need_kernel(plan: Plan, name: str) -> None:
    """Raises `EmitError` where a plan has no kernel yet: asked before its proof is made, which takes longer."""
    _check(plan, name)
    name = function_name(name, plan.spec)
    made = kernels(plan, name)
    _, hopper = _texts(plan, name, made)
    test_text(name, made, plan.spec, hopper=bool(hopper))


def _check(plan: Plan, name: str) -> None:
    if not name.isidentifier() or name.startswith("_"):
        raise EmitError(f"{name!r} cannot be the name of the kernel: use an identifier that begins with a letter")
    if not plan.tensors:
        raise EmitError(f"{name} reads no tensor, so that a kernel has nothing to load: give the pipeline a Tensor")


def _texts(
    plan: Plan, name: str, made: Kernels, *, single_file: bool = False, exact: tuple[str, ...] = ()
) -> tuple[str, str]:
    """NAME.py, and NAME_hopper.py, where there is such a file."""
    warps = gluon_kernel(made, name)
    beside = hopper_text(name, made, warps) if warps and not single_file else ""
    return module_text(plan, name, made, warps, beside=beside, single_file=single_file, exact=exact), beside
