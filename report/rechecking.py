"""`refold recheck`: the checker of proof files, run from its own file so that nothing else of refold is loaded."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.markup import escape

from refold.errors import UsageError
from refold.report import pretty
from refold.report.lean import lean_text

CHECKER = Path(__file__).parents[1] / "verify" / "certificate" / "recheck.py"


def recheck(path: Path, lean: Path | None = None, against: str | None = None) -> int:
    """Prints what holds of a proof file; 0 if all of it does, 1 at the first thing that does not.

    With `against` its obligations have to be those of that pipeline.
    """
    proof = read(path)
    try:
        tally = checker().recheck(proof)
        lines = report(proof, tally)
        check_kernel(path, proof)
        if against is not None:
            lines.append(f"  {compare(proof, against)}")
    except checker().Rejected as error:
        pretty.put(f"[bold red]rejected[/] {escape(str(path))}: {escape(str(error))}")
        return 1
    pretty.put(*lines)
    if lean is not None:
        try:
            lean.write_text(lean_text(proof), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{lean}: cannot be written: {error.strerror}: give another file with --lean") from None
        pretty.put(f"wrote {escape(str(lean))}: every equation with its cofactors, for Lean 4 with Mathlib")
    return 0


def read(path: Path) -> dict[str, Any]:
    """A proof file as data. Raises `UsageError` for what is none."""
    try:
        proof = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}: give NAME.proof.json of a bundle") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}: give NAME.proof.json of a bundle") from None
    if not isinstance(proof, dict) or "obligations" not in proof:
        raise UsageError(f"{path} is no proof file: give NAME.proof.json, as 'refold emit SPEC -o DIR' writes it")
    return proof


def check_kernel(path: Path, proof: dict[str, Any]) -> None:
    """That the kernel beside a proof file and what it loads, where they are, are those of which it is the proof."""
    files = {"kernel": f"{proof['name']}.py", "hopper": f"{proof['name']}_hopper.py", "runtime": "refold_runtime.py"}
    for what, name in files.items():
        file, wanted = path.with_name(name), proof.get("hashes", {}).get(what)
        if wanted is not None and file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != wanted:
            raise checker().Rejected(f"{name} beside it is not the {what} that it is the proof of")


def compare(proof: dict[str, Any], given: str) -> str:
    """Compares a proof with the obligations of a pipeline, derived anew; what to say where they are the same."""
    from refold.algebra import Refusal, Staged, stages
    from refold.report.loading import load
    from refold.verify import Claim
    from refold.verify.certificate import recheck as rechecked
    from refold.verify.certificate.against import proof_against
    from refold.verify.certificate.words import fingerprint
    from refold.verify.claim.plan import plan_of

    loaded = load(given, ("CLAIM", "SPEC"))
    found = plan_of(loaded.value) if isinstance(loaded.value, Claim) else stages(loaded.value)
    if isinstance(found, Refusal):
        raise checker().Rejected(f"{loaded.place}:{loaded.line} has no fused form: {found.reason}")
    plans = found.plans if isinstance(found, Staged) else (found,)
    # Of a pipeline of several stages it is the proof of one.
    plan = next((p for p in plans if fingerprint(p.spec) == proof["hashes"]["spec"]), plans[0])
    try:
        count = len(proof_against(proof, plan).results)
    except rechecked.Rejected as error:
        raise checker().Rejected(f"it is no proof of {loaded.place}:{loaded.line}: {error}") from None
    return f"{count:4} obligations derived anew from {escape(f'{loaded.place}:{loaded.line}')}: the same, one by one"


@cache
def checker() -> ModuleType:
    """The module of the checker, apart from the package around it."""
    found = importlib.util.spec_from_file_location("refold_recheck", CHECKER)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def report(proof: dict[str, Any], tally: Any) -> list[str]:
    """What was checked, what rests on solvers, and what on neither, line by line."""
    bare = [o for o in proof["obligations"] if not o["proof"]]
    lines = [
        f"[bold green]holds[/] {escape(proof['name'])}: {tally['obligations']} obligations, {tally['cases']} cases",
        f"  {tally['equations']:4} equations, each multiplied out here from its cofactors",
        f"  {tally['two solvers']:4} cases closed by Z3 and cvc5 both; the scripts are printed from what they claim",
    ]
    if tally["same"]:
        lines.append(f"  {tally['same']:4} cases with nothing to prove: both sides are one expression")
    if tally["one solver"]:
        lines.append(f"  {tally['one solver']:4} cases closed by Z3 alone: cvc5 gave up on them")
    lines += [f"  no certificate: {escape(o['name'])} ({escape(o.get('note', 'no reason is given'))})" for o in bare]
    return lines
