"""A pipeline of several stages as a bundle: the bundle of every stage, and the file that calls one after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from refold.algebra.plan import Plan
from refold.algebra.roles import Roles, assign
from refold.algebra.stages import Staged
from refold.emit import runtime
from refold.emit.bundle import Kernel, emit_plan
from refold.emit.launcher import IMPORTS, UNTRIED, host_words, named_text, reference_text, tables_text
from refold.emit.operator import as_tuple
from refold.emit.prooftest import constants, put_in
from refold.emit.signature import OPTIONS, called, public_head, quoted, shapes_text, signature, words_of
from refold.emit.source import wrap
from refold.emit.trial import tried
from refold.errors import EmitError, within_depth
from refold.schedule.lower.renaming import function_name, renamed_spec
from refold.spec import Index, Spec
from refold.verify.certificate.files import write_together
from refold.verify.result import Proof
from refold.verify.staged import Composed

# From here on the template of tests speaks of the proof of one kernel.
PROOF = "\n\ndef proof():\n"


@dataclass(frozen=True, slots=True)
class StagedKernel:
    """NAME.py, which calls the kernels NAME_1, NAME_2, ... of its stages; each has a test and a proof of its own."""

    name: str
    composed: Composed
    stages: tuple[Kernel, ...]

    @property
    def proof(self) -> Composed:
        """What was proved."""
        return self.composed

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """Those of the stages."""
        return self.stages

    @property
    def note(self) -> str:
        """Whether the stages have run."""
        return self.stages[0].note

    @property
    def source(self) -> str:
        """NAME.py."""
        return _source(self)

    @property
    def code(self) -> dict[str, str]:
        """The files without which the function does not run: NAME.py first, and what it loads."""
        found = {f"{self.name}.py": self.source}
        for stage in self.stages:
            found |= stage.code
        return found

    @property
    def test(self) -> str:
        """test_NAME.py: the whole against the pipeline as written."""
        return forward_test(self.name, self.composed.staged)

    def tried(self) -> StagedKernel:
        """The same, after every stage has run once."""
        return replace(self, stages=tuple(map(tried, self.stages)))

    def write(self, folder: str | Path) -> tuple[Path, ...]:
        """Writes the bundles of the stages, and what puts them together."""
        root = Path(folder)
        own = {root / f"{self.name}.py": self.source, root / f"test_{self.name}.py": self.test}
        stages = [path for stage in self.stages for path in stage.write(root)]
        write_together(own)
        return (*own, *dict.fromkeys(stages))

    def __str__(self) -> str:
        stages = ", ".join(f"{s.name}.py" for s in self.stages)
        return f"kernel {self.name}: {self.name}.py, which calls {stages}; .write(folder) writes the bundle"

    __repr__ = __str__


@within_depth()
def emit_stages(proof: Composed, name: str = "fused") -> StagedKernel:
    """The bundle of a pipeline whose stages are all proved. Raises `EmitError` for anything else."""
    if not isinstance(proof, Composed) or proof.verdict != "proved":
        raise EmitError("emit takes what refold.verify returns when all is proved: look at what is not")
    name = function_name(name, proof.staged.spec)
    exact = {o.name for o in proof.staged.passed}
    stages = []
    for n, report in enumerate(proof.reports, 1):
        kept = tuple(o.name for o in report.plan.spec.outputs if o.name in exact)
        assert isinstance(report, Proof)
        stages.append(emit_plan(report, f"{name}_{n}", exact=kept))
    return StagedKernel(name, proof, tuple(stages))


def need_stages(plans: tuple[Plan, ...], name: str) -> None:
    """Raises `EmitError` where a stage has no kernel yet."""
    from refold.emit.bundle import need_kernel

    for n, plan in enumerate(plans, 1):
        need_kernel(plan, f"{name}_{n}")


def _source(kernel: StagedKernel) -> str:
    staged = kernel.composed.staged
    spec, users = renamed_spec(staged.spec)
    count = f"{len(kernel.stages)} stage{'s' if len(kernel.stages) > 1 else ''}"
    head = f'"""{kernel.name}: {staged.spec.outputs[0].name} in {count}, emitted by refold from proved plans.\n\n'
    head += "\n".join(f"    {line}" for line in str(staged.spec).splitlines())
    for n, plan in enumerate(staged.plans, 1):
        head += f"\n\nStage {n}, {kernel.name}_{n}.py, over {plan.axis.name}:\n\n"
        head += "\n".join(f"    {line}" for line in str(plan.spec).splitlines())
    head += f"\n\nThe proofs are {', '.join(f'{s.name}.proof.json' for s in kernel.stages)}. "
    ran = UNTRIED if kernel.note == UNTRIED else "Every stage has run once in Triton's interpreter."
    head += f'Needs torch and triton alone.\n{ran}\n"""\n'
    reference = reference_text(spec, users)
    return "\n".join([
        head, runtime.loading(IMPORTS), *named_text(host_words(reference)), *tables_text(kernel.name, spec, users),
        *_stages_text(kernel, spec, users),
        *_flats_text(kernel), "", "", _function(kernel, spec, users), "", "", reference, "",
    ])  # fmt: skip


def _stages_text(kernel: StagedKernel, spec: Spec, users: dict[str, str]) -> list[str]:
    """What every stage reads and writes, in the names of the whole."""
    entries = []
    for stage, plan in zip(kernel.stages, kernel.composed.staged.plans, strict=True):
        call = f"{runtime.beside(f'{stage.name}.py', stage.source)}.{stage.name}"
        entries.append(f"rt.Stage({call}, {call_text(plan.spec, stage.made.users, spec, users)})")
    return ["_STAGES = (", *(f"    {entry}," for entry in entries), ")"]


def call_text(part: Spec, inside: dict[str, str], spec: Spec, users: dict[str, str]) -> str:
    """What the function of a part reads by position and by name, and what it writes, in the names of the whole.

    `inside` and `users` are what the user calls the names in the text of the part, and in that of the whole.
    """
    ours, theirs = ({old: new for new, old in names.items()} for names in (users, inside))
    inputs = {users.get(t.name, t.name): t.name for t in spec.tensors}
    reads = as_tuple([quoted(inputs.get(str(t.name), str(t.name))) for t in part.tensors])
    words = words_of(part)
    names = called([theirs.get(w, w) for w in words], inside)
    given = ", ".join(f"{quoted(x)}: {quoted(ours.get(w, w))}" for x, w in zip(names, words, strict=True))
    return f"{reads}, {{{given}}}, {as_tuple([quoted(o.name) for o in part.outputs])}"


def _flats_text(kernel: StagedKernel) -> list[str]:
    flats = [f"rt.Flat({', '.join(quoted(x.name) for x in (f.axis, f.outer, f.inner, f.length))})"
             for f in kernel.composed.staged.flats]  # fmt: skip
    return [f"_FLATS = {as_tuple(flats)}"]


def _function(kernel: StagedKernel, spec: Spec, users: dict[str, str]) -> str:
    tensors, words = signature(spec), words_of(spec)
    lines = public_head(kernel.name, spec, users)
    lines += [f'    """{shapes_text(spec, users)}, stage after stage; the options are those of every stage."""']
    inputs = ", ".join(f"{quoted(t)}: {w}" for t, w in zip(tensors, called(tensors, users), strict=True))
    given = ", ".join(f"{quoted(t)}: {w}" for t, w in zip(words, called(words, users), strict=True))
    lines += [f"    inputs, words = {{{inputs}}}, {{{given}}}"]
    lines += [f"    {line}" for line in wrap("options = {", [f"{quoted(o)}: {o}" for o in OPTIONS], "}", 4)]
    ours = {old: new for new, old in users.items()}
    lengths = [
        f"{quoted(str(n))}: {quoted(ours.get(str(a.name), str(a.name)))}" for n, a in kernel.composed.staged.lengths
    ]
    lines += [f"    lengths = {{{', '.join(lengths)}}}"]
    lines += ["    return rt.run_stages(TABLES, _STAGES, _FLATS, lengths, inputs, words, out, options)"]
    return "\n".join(lines)


def forward_test(name: str, staged: Staged) -> str:
    """The template of tests up to what it says of one proof."""
    spec, users = renamed_spec(staged.spec)
    roles = _roles(staged, spec, {old: new for new, old in users.items()})
    lines = constants(name, spec, roles, users, {}, aligned=False) | {"SPEC": '""', "HOPPER": "False"}
    return put_in(runtime.template().partition(PROOF)[0] + "\n", lines)


def _roles(staged: Staged, spec: Spec, ours: dict[str, str]) -> Roles:
    """The roles of one stage, of the axes that the whole has: the inner one for one that stands for two.

    It is the last whose loop is over an axis that no other stage holds whole, since that may be of length 0.
    """
    held = {a.name for plan in staged.plans for a in assign(plan).inner}
    plan = next((p for p in reversed(staged.plans) if p.axis.name not in held), staged.plans[-1])
    roles, known = assign(plan), {a.name: a for a in spec.axes}
    inner = {f.axis: f.inner for f in staged.flats}

    def there(axis: Index) -> Index | None:
        while axis in inner:
            axis = inner[axis]
        return known.get(ours.get(axis.name, axis.name))

    fold, rows = there(roles.fold), roles.rows and there(roles.rows)
    batch, beside = ([a for x in axes if (a := there(x)) is not None] for axes in (roles.batch, roles.inner))
    assert fold is not None
    return replace(roles, fold=fold, rows=rows, batch=tuple(batch), inner=tuple(beside))
