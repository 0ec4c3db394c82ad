"""Takes init, step, merge and finish of a file for a claimed form of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from refold.errors import UsageError

NEEDED = ("init", "step", "finish")
MORE = ("merge", "element", "empty_parts")


def is_form(names: Mapping[str, Any]) -> bool:
    """Whether a file defines a form by functions: one that has a step."""
    return callable(names.get("step"))


def form_of(path: str, names: Mapping[str, Any], against: Any, at: Callable[[str], str]) -> Any:
    """The claim of a file about `against`, else about its own SPEC; `at(name)` is where the file defines a name."""
    from refold.spec import Spec
    from refold.verify import claim

    spec = names.get("SPEC") if against is None else against
    if not isinstance(spec, Spec):
        raise UsageError(f"{at('step')}: step is a form of no pipeline yet: write `from FILE import SPEC` in {path}, "
                         "or give --against FILE.py")  # fmt: skip
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise UsageError(f"{path}: no {missing[0]} beside step: a form is init, step and finish, and merge where it "
                         "is split: write it")  # fmt: skip
    return claim(spec, **{name: names[name] for name in (*NEEDED, *MORE) if name in names})
