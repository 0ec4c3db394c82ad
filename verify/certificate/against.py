"""Says whether a proof file is one of a plan: its obligations are built anew and compared with those of the file."""

from __future__ import annotations

from typing import Any

from refold.algebra import Plan
from refold.verify.certificate import recheck
from refold.verify.certificate.comparison import MISSING, Certificates, reading
from refold.verify.certificate.document import certificates_of, kept, of_plan, of_results
from refold.verify.certificate.words import fingerprint
from refold.verify.result import Disproof, Proof
from refold.verify.verify import verify


def proof_against(found: dict[str, Any], plan: Plan) -> Proof:
    """The proof of a plan that a file holds. Raises `recheck.Rejected` where it does not hold, or is none of this plan.

    No solver is asked: that its answers to the scripts are the true ones is what the file says.
    """
    recheck.recheck(found)
    # What the plan says by itself comes first: the obligations take seconds to build.
    for part, wanted in of_plan(plan).items():
        recheck.require(found.get(part) == wanted, f"its {part} is not that of the pipeline")
    recheck.require(found["hashes"]["spec"] == fingerprint(plan.spec), "its hash of the spec is that of another")
    with reading(Certificates(certificates_of(found))):
        report = verify(plan, stop=True)
    if isinstance(report, Disproof):
        failed = next(r for r in report.results if r.verdict != "proved")
        why = "there is none of this claim in the file" if MISSING in failed.note else failed.note
        raise recheck.Rejected(f"{failed.name} ({failed.claim}): {why}")
    proof = kept(report, found)
    wanted = of_results(proof.results)
    pairs = zip([*found["obligations"], {}], [*wanted["obligations"], {}], strict=False)
    here, there = next(((h, t) for h, t in pairs if h != t), ({}, {}))
    recheck.require(here == there, f"it has {_shown(here)} where the pipeline has {_shown(there)}")
    recheck.require(found["answers"] == wanted["answers"], "its answers are not those to the scripts of the pipeline")
    return proof


def _shown(obligation: dict[str, Any]) -> str:
    return f"{obligation['name']} ({obligation['claim']})" if obligation else "nothing more"
