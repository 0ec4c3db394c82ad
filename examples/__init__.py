"""The catalogue: one file a variant, each with its `SPEC` and a `main()` that prints what refold makes of it."""

from __future__ import annotations

from refold.spec import Spec


def show(spec: Spec) -> None:
    """Prints the derivation of a pipeline and the verdict on each of its obligations."""
    import refold
    from refold.verify.certificate import store

    plan = refold.stages(spec)
    print(plan)
    if isinstance(plan, refold.Plan):
        print()
        print(store.verified(plan))
    elif isinstance(plan, refold.Staged):
        print()
        print(refold.verify(plan))
