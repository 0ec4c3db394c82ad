"""The emitted text says what the module says: Triton's own front end reads the text, and both are executed on terms."""

from functools import cache
from typing import Any

import pytest
from emit_cases import CASES, plan_of
from support.examples import NAMES
from support.front_end import FORMS, Form, captured, divergences, made_of, text_of

from refold.emit import text as precedence
from refold.schedule.capture import Captured
from refold.schedule.lower.kernels import Kernels, kernels

SHORT = ("attention", "argmax", "document", "layer_norm", "softmax")
ALL_FORMS: tuple[Form, ...] = (*FORMS, ("float16", "int32"), ("float16", "int64"))


def check(made: Kernels, forms: tuple[Form, ...]) -> None:
    for form, texts in zip(forms, captured((made, text_of(made), *form) for form in forms), strict=True):
        for kernel, divergence in divergences(made, texts, *form).items():
            assert divergence is None, f"{kernel}, {form}: {divergence}"
            # Other versions of Triton take -x for 0 - x: a text that has none is read alike by all of them.
            assert "arith.negf" not in texts[kernel].text, f"{kernel}, {form}: the minus of a float"


@pytest.mark.parametrize("example", SHORT)
def test_the_text_of_an_example_computes_what_its_module_computes(example: str) -> None:
    check(made_of(example), FORMS)


@pytest.mark.slow
@pytest.mark.parametrize("example", NAMES)
def test_the_text_of_every_example_computes_what_its_module_computes(example: str) -> None:
    check(made_of(example), ALL_FORMS)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_text_of_a_case_computes_what_its_module_computes(case: str) -> None:
    check(kernels(plan_of(case), f"k_{case}"), FORMS)


# Of every mistake: the example, what of its text became what, the kernel that shows it, and what is said of it.
MISTAKES = (
    ("attention", "l * alpha + ", "l + ", "rolling", "loop 0 as l and l, after an iteration, lane 0:\n  l.0"),
    ("attention", "acc * alpha[:, None]", "acc", "parts", "carried by loop 0 as acc_"),
    ("attention", "acc_part * alpha_2[:, None]", "acc_part", "finish", "carried by loop 0 as acc_"),
    ("attention", "in_j = j < size_j", "in_j = j <= size_j", "rolling", "carried by loop 1 as "),
    ("attention", "v_ptr + j[:, None] * v_j", "v_ptr + j[:, None] * k_j", "rolling", "k_j"),
    ("attention", "in_i = i < size_i", "in_i = i <= size_i", "finish", "store to o_ptr, mask, lane 0"),
    ("attention", "e[None, :] * o_e", "e[None, :]", "rolling", "o_ptr, place, lane "),
    ("attention", "in_e = e < SIZE_e", "in_e = e <= SIZE_e", "rolling", "o_ptr, mask, lane 1"),
    ("attention", "free_hi // BLOCK_N * BLOCK_N", "tl.cdiv(free_hi, BLOCK_N) * BLOCK_N", "rolling",
     "event 1:\n  a store to o_ptr in loops []\n  a loop in loops []"),
    ("attention", "pid % tiles", "pid // tiles", "rolling", "o_ptr, place, lane 0"),
    ("softmax", 'm = tl.full([BLOCK_M], -float("inf")', 'm = tl.full([BLOCK_M], float("inf")', "rolling",
     "at the start, lane 0:\n  inf\n  -inf"),
    ("argmax", "tl.minimum(at2, at2_tile)", "tl.maximum(at2, at2_tile)", "rolling", "lane 0:\n  greatest("),
)  # fmt: skip


@cache
def mistaken(example: str) -> tuple[Kernels, dict[tuple[Any, ...], dict[str, Captured]]]:
    """The kernels of an example with each of its mistakes."""
    made = made_of(example)
    mistakes = [m for m in MISTAKES if m[0] == example]
    assert all(right in text_of(made) for _, right, *_ in mistakes)
    texts = captured((made, text_of(made).replace(m[1], m[2]), "float32", "int32") for m in mistakes)
    return made, dict(zip(mistakes, texts, strict=True))


@pytest.mark.parametrize("mistake", MISTAKES, ids=[f"{m[0]}, {m[2]}" for m in MISTAKES])
def test_a_mistake_in_a_text_is_shown_where_it_is(mistake: tuple[str, str, str, str, str]) -> None:
    example, _, _, kernel, place = mistake
    made, texts = mistaken(example)
    assert place in str(divergences(made, texts[mistake], "float32", "int32")[f"{example}_{kernel}"])


def test_a_load_without_the_stride_of_an_inner_axis_is_noticed() -> None:
    """One lane of that axis says nothing of it."""
    made, right = made_of("attention"), "q_ptr + i[:, None] * q_i + d[None, :] * q_d"
    assert right in text_of(made)
    wrong = text_of(made).replace(right, "q_ptr + i[:, None] * q_i + d[None, :]")
    found = [divergences(made, t, *f) for f, t in zip(FORMS, captured((made, wrong, *f) for f in FORMS), strict=True)]
    assert [bool(any(of_form.values())) for of_form in found] == [False, True, False]


@pytest.mark.parametrize(
    ("case", "operator", "levels"),
    [
        # c * (i // c) printed as c * i // c, a - (b - c) as a - b - c, and (a + b) * c as a + b * c.
        ("strided_heads", "*", (precedence.QUOTIENT, precedence.QUOTIENT, precedence.PRODUCT)),
        ("alternating", "-", (precedence.SUM, precedence.SUM, precedence.SUM)),
        ("attention", "*", (precedence.SUM, precedence.SUM, precedence.PRODUCT)),
    ],
)
def test_a_mistake_of_the_printer_shows(
    case: str, operator: str, levels: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = kernels(plan_of(case), f"k_{case}")
    right = text_of(made)
    monkeypatch.setitem(precedence.INFIX, operator, levels)
    assert text_of(made) != right
    (texts,) = captured([(made, text_of(made), "float32", "int32")])
    assert any(divergences(made, texts, "float32", "int32").values())
