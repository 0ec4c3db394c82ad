"""What a terminal without Unicode gets in the place of mathematics, so that two signs never become one."""

from __future__ import annotations

import codecs

HANDLER = "refold.ascii"

SIGNS = {
    "✓": "+", "✗": "x", "′": "'", "″": "''", "·": "*", "−": "-", "–": "-", "—": "-", "←": "<-", "→": "->", "↦": "|->",
    "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "∞": "oo", "√": "sqrt", "Σ": "sum", "Π": "prod", "⊕": "(+)",
    "∧": " and ", "∨": " or ", "¬": "not ", "∈": " in ", "⌈": "ceil(", "⌉": ")", "⌊": "floor(", "⌋": ")", "…": "...",
    "φ": "phi", "δ": "delta", "ε": "eps", "λ": "lambda", "μ": "mu", "π": "pi", "σ": "sigma", "×": "x", "÷": "/",
    "⁻": "^-", "ᵀ": "^T",
}  # fmt: skip
SIGNS |= {sign: f"^{n}" for n, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
SIGNS |= {sign: f"_{n}" for n, sign in enumerate("₀₁₂₃₄₅₆₇₈₉")}


def register() -> str:
    """Makes the error handler known to Python; its name, for `reconfigure(errors=...)`."""
    codecs.register_error(HANDLER, _replace)
    return HANDLER


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    # A sign that has no words here keeps its number: no two are ever the same.
    signs = error.object[error.start : error.end]
    return "".join(SIGNS.get(sign, f"<U+{ord(sign):04X}>") for sign in signs), error.end
