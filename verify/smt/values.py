"""A model of a solver as values of what a reader knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from refold.verify.smt import formulas as z3


def model_words(model: Any, shown: Mapping[str, str] | None = None) -> str:
    """The values of a solver's model that a reader knows, by what they stand for; nothing of the solver's own.

    `shown` says what an identifier stands for; without it each stands for itself.
    """
    said = []
    for d in sorted(model.decls(), key=lambda d: str(d.name())):
        text = d.name() if shown is None else shown.get(d.name(), "!")
        if "!" in text or " where " in text:
            continue
        text = re.sub(r"^size_(\w+)$", r"|\1|", text)
        value = model[d]
        if z3.is_true(value):
            said.append(text if " " in text else f"{text} holds")
        elif not z3.is_false(value):
            said.append(f"{text} = {value}")
    return ", ".join(said)
