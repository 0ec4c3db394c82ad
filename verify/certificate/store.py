"""Keeps proofs, so that an unchanged plan is not proved again: under a hash of it, of the code and of the solvers."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from refold.algebra import Plan
from refold.verify.certificate import recheck
from refold.verify.certificate.against import proof_against
from refold.verify.certificate.document import document, proof_of
from refold.verify.certificate.files import write_whole
from refold.verify.certificate.signature import is_signed, signature
from refold.verify.certificate.words import fingerprint
from refold.verify.result import Disproof, Proof
from refold.verify.verify import Progress, verify, versions

LAYERS = ("spec", "algebra", "schedule", "verify")
SIGNED = ".sig"


def verified(
    plan: Plan, progress: Progress | None = None, timeout: float | None = None, *, fresh: bool = False
) -> Proof | Disproof:
    """The proof that was kept of this very plan, else what `verify` says of it, which is kept if it is a proof.

    `fresh` proves it anew. What was kept and is no longer proved is removed.
    """
    found = None if fresh else recall(plan)
    if found is not None:
        return found
    report = verify(plan, progress, timeout)
    if isinstance(report, Proof):
        keep(report)
    else:
        with suppress(OSError):
            path_of(plan).unlink(missing_ok=True)
            path_of(plan).with_suffix(SIGNED).unlink(missing_ok=True)
    return report


def recall(plan: Plan) -> Proof | None:
    """The proof of this very plan that was kept, rechecked; None where there is none.

    One that is not signed as of this plan by this user is compared with the obligations of the plan, built anew, too.
    Whatever else is in the file (nothing, half of it, another plan's proof) is no proof, and will be replaced.
    """
    path = path_of(plan)
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text)
        if not is_signed(path.stem, text, _signature_of(path)):
            return proof_against(found, plan)
        recheck.recheck(found)
        return proof_of(found, plan)
    except (OSError, ValueError, RecursionError, recheck.Rejected):
        return None


def keep(proof: Proof) -> None:
    """Keeps a proof of this run for the next time; a folder that cannot be written to is no reason to fail."""
    path = path_of(proof.plan)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = document(proof, "kept")
        write_whole(path, text)
        signed = signature(path.stem, text)
        if signed is not None:
            write_whole(path.with_suffix(SIGNED), signed)
    except OSError:
        return


def _signature_of(path: Path) -> str:
    """What signs a kept proof; nothing where there is none."""
    try:
        return path.with_suffix(SIGNED).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def folder() -> Path:
    """Where proofs and compiled kernels are kept: $REFOLD_CACHE, else `refold` in the user's cache."""
    given = os.environ.get("REFOLD_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refold"


def path_of(plan: Plan) -> Path:
    """Where the proof of a plan is kept: by the hash of all that the plan, the code and the solvers are."""
    return folder() / "proofs" / f"{fingerprint(recheck.FORMAT, _code(), versions(), plan)}.json"


@cache
def _code() -> str:
    """The hash of the code that a verdict rests on."""
    total = hashlib.sha256()
    root = Path(__file__).parents[2]
    for path in sorted(p for layer in LAYERS for p in (root / layer).rglob("*.py")):
        total.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return total.hexdigest()
