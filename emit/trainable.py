"""A pipeline with its gradients as a bundle: a kernel file of each, and the one that autograd goes through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from refold.algebra import Gradient, Refusal, Staged, stages
from refold.emit import runtime
from refold.emit.bundle import Kernel, emit_plan
from refold.emit.launcher import IMPORTS, UNTRIED, host_words, mapping_text, named_text, reference_text, tables_text
from refold.emit.operator import as_tuple
from refold.emit.signature import OPTIONS, called, public_head, quoted, shapes_text, signature, words_of
from refold.emit.staged import StagedKernel, call_text, emit_stages, forward_test, need_stages
from refold.emit.trial import tried
from refold.errors import EmitError, within_depth
from refold.schedule.lower.renaming import function_name, renamed_spec
from refold.spec import Spec
from refold.verify.certificate.files import write_together
from refold.verify.differentiated import Differentiated
from refold.verify.result import Proof
from refold.verify.staged import Composed

Piece = Kernel | StagedKernel


@dataclass(frozen=True, slots=True)
class TrainableKernel:
    """NAME.py, which calls NAME_forward and NAME_dX, ...; each of these has a test and a proof of its own."""

    name: str
    proof: Differentiated
    # Computes the outputs alone; the first of `pieces`, where nothing else is kept.
    plain: Piece
    # The forward pass, and what runs for the gradients, in this order.
    pieces: tuple[Piece, ...]

    @property
    def gradient(self) -> Gradient:
        return self.proof.gradient

    @property
    def every(self) -> tuple[Piece, ...]:
        """The pieces, each once."""
        return tuple(dict.fromkeys((self.plain, *self.pieces)))

    @property
    def note(self) -> str:
        """Whether the pieces have run."""
        return self.plain.note

    @property
    def source(self) -> str:
        """NAME.py."""
        return _source(self)

    @property
    def code(self) -> dict[str, str]:
        """The files without which the function does not run: NAME.py first, and what it loads."""
        found = {f"{self.name}.py": self.source, runtime.GRADIENTS: runtime.gradients()}
        for piece in self.every:
            found |= piece.code
        return found

    @property
    def test(self) -> str:
        """test_NAME.py: the whole against the pipeline as written, and its gradients against autograd of that."""
        plain = self.plain
        staged = Staged(self.gradient.spec, (plain.proof.plan,)) if isinstance(plain, Kernel) else plain.composed.staged
        return forward_test(self.name, staged) + runtime.gradient_template()

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels of all pieces."""
        return tuple(k for p in self.every for k in (p.stages if isinstance(p, StagedKernel) else (p,)))

    def tried(self) -> TrainableKernel:
        """The same, after every piece has run once."""
        done = {piece.name: piece.tried() if isinstance(piece, StagedKernel) else tried(piece) for piece in self.every}
        return replace(self, plain=done[self.plain.name], pieces=tuple(done[p.name] for p in self.pieces))

    def write(self, folder: str | Path) -> tuple[Path, ...]:
        """Writes the bundles of the pieces, and what puts them together."""
        root = Path(folder)
        own = {root / f"{self.name}.py": self.source, root / runtime.GRADIENTS: runtime.gradients()}
        own[root / f"test_{self.name}.py"] = self.test
        pieces = [path for piece in self.every for path in piece.write(root)]
        write_together(own)
        return (*own, *dict.fromkeys(pieces))

    def __str__(self) -> str:
        files = ", ".join(f"{p.name}.py" for p in self.every)
        return f"kernel {self.name}: {self.name}.py, which calls {files}; .write(folder) writes the bundle"

    __repr__ = __str__


@within_depth()
def emit_trainable(
    proof: Differentiated, name: str = "fused", plain: Proof | Composed | None = None
) -> TrainableKernel:
    """The bundle of a gradient that is proved; `plain` is the proof of the pipeline itself, where more is kept of it.

    Raises `EmitError` for anything else.
    """
    if proof.verdict != "proved":
        raise EmitError("emit takes what refold.verify returns when all is proved: look at what is not")
    gradient = proof.gradient
    _check(gradient)
    name = function_name(name, gradient.spec)
    wide = {*gradient.saved, *(o.name for spec in gradient.before for o in spec.outputs)}
    pieces = []
    for part, own in zip(proof.parts, _names(gradient, name), strict=True):
        assert isinstance(part.report, Proof | Composed)
        pieces.append(_piece(part.report, own, tuple(o.name for o in part.spec.outputs if o.name in wide)))
    first = pieces[0] if plain is None or not gradient.saved else _piece(plain, f"{name}_plain", ())
    return TrainableKernel(name, proof, first, tuple(pieces))


def need_pieces(gradient: Gradient, name: str) -> None:
    """Raises `EmitError` where a pipeline of a gradient has no kernel yet: asked before their proofs are made."""
    _check(gradient)
    specs = (gradient.forward, *gradient.before, *gradient.pipelines)
    for spec, own in zip(specs, _names(gradient, name), strict=True):
        plan = stages(spec)
        if isinstance(plan, Refusal):
            raise EmitError(f"{own} has no fused form: {plan.reason}: leave what it computes out of wrt")
        need_stages(plan.plans if isinstance(plan, Staged) else (plan,), own)


def _check(gradient: Gradient) -> None:
    """Refuses a gradient by what is no tensor to torch."""
    scalars = {str(p.name) for p in gradient.spec.params} & {*gradient.wrt}
    if scalars:
        raise EmitError(
            f"{min(scalars)} is a number to torch, which has no gradient: give the pipeline a Tensor without axes "
            "in its place, or leave it out of wrt"
        )


def _piece(report: Proof | Composed, name: str, exact: tuple[str, ...]) -> Piece:
    return emit_stages(report, name) if isinstance(report, Composed) else emit_plan(report, name, exact=exact)


def _names(gradient: Gradient, name: str) -> list[str]:
    """What the pieces are called: each after what it computes first."""
    return [f"{name}_forward", *(f"{name}_{s.outputs[0].name}" for s in (*gradient.before, *gradient.pipelines))]


# --- the text of NAME.py ----------------------------------------------------------------------------------------------


def _source(kernel: TrainableKernel) -> str:
    gradient = kernel.gradient
    spec, users = renamed_spec(gradient.spec)
    wrt = ", ".join(gradient.wrt)
    head = (
        f'"""{kernel.name}: {spec.outputs[0].name} and its gradients by {wrt}, emitted by refold from proved plans.\n\n'
    )
    head += "\n".join(f"    {line}" for line in str(gradient.spec).splitlines())
    for piece, part in zip(kernel.pieces, kernel.proof.parts, strict=True):
        head += f"\n\n{piece.name}.py:\n\n" + "\n".join(f"    {line}" for line in str(part.spec).splitlines())
    head += f"\n\nThe proofs are {', '.join(f'{p.name}.proof.json' for p in kernel.every)}. "
    ran = UNTRIED if kernel.note == UNTRIED else "Every piece has run once in Triton's interpreter."
    head += f'Needs torch and triton alone.\n{ran}\n"""\n'
    reference = reference_text(spec, users)
    dots = {"dots": "True"} if any(isinstance(p, Kernel) and p.made.roles.contracts for p in kernel.every) else {}
    return "\n".join([
        head, runtime.loading(IMPORTS), f"ag = {runtime.beside(runtime.GRADIENTS, runtime.gradients())}",
        *named_text(host_words(reference)), *tables_text(kernel.name, spec, users, **dots),
        *_pieces_text(kernel, spec, users), "", "", _function(kernel, spec, users), "", "", reference, "",
    ])  # fmt: skip


def _pieces_text(kernel: TrainableKernel, spec: Spec, users: dict[str, str]) -> list[str]:
    """What every piece reads and writes, in the names of the whole, and the law of the gradients."""
    gradient, ours = kernel.gradient, {old: new for new, old in users.items()}

    def text(piece: Piece) -> str:
        part, inside = _part(piece)
        file = runtime.beside(f"{piece.name}.py", piece.source)
        return f"ag.Piece({file}, {quoted(piece.name)}, {call_text(part, inside, spec, users)})"

    forward, *others = map(text, kernel.pieces)
    wrt = {ours.get(n, n): f"d{n}" for n in gradient.wrt} | {ours.get(n, n): "" for n in gradient.zero}
    lengths = {str(n): ours.get(str(a.name), str(a.name)) for n, a in gradient.lengths}
    tables = ", ".join(mapping_text(d) for d in (wrt, dict(gradient.given), lengths))
    return [
        f"_PLAIN = {text(kernel.plain)}", f"_FORWARD = {forward}",
        "_GRADIENTS = (", *(f"    {line}," for line in others), ")",
        f"_FUNCTION = ag.Function(rt, TABLES, __file__, _PLAIN, _FORWARD, ag.Law(_GRADIENTS, {tables}))",
    ]  # fmt: skip


def _part(piece: Piece) -> tuple[Spec, dict[str, str]]:
    """The pipeline of a piece, and what the user calls the names in its text."""
    if isinstance(piece, Kernel):
        return piece.proof.plan.spec, piece.made.users
    spec = piece.composed.staged.spec
    return spec, renamed_spec(spec)[1]


def _function(kernel: TrainableKernel, spec: Spec, users: dict[str, str]) -> str:
    lines = public_head(kernel.name, spec, users)
    lines += [f'    """{shapes_text(spec, users)}.', ""]
    lines += [
        f"    Autograd has its gradients by {', '.join(kernel.gradient.wrt)}. The options are those of every piece."
    ]
    lines += ['    """']
    inputs, words = (as_tuple(called(names, users)) for names in (signature(spec), words_of(spec)))
    lines += [f"    options = {as_tuple(list(OPTIONS))}", f"    return _FUNCTION({inputs}, {words}, out, options)"]
    return "\n".join(lines)
