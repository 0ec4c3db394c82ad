"""Every example is a pipeline with a title and a main(); found by glob, so that a new file is a new test."""

import ast
import importlib

import pytest
from support.examples import FOLDER, NAMES

from refold import Plan, Spec, derive

EXPECTED = {
    "alibi",
    "attention",
    "attention_sink",
    "causal_attention",
    "causal_attention_bottom_right",
    "cross_entropy",
    "decode",
    "entropy",
    "gqa",
    "layer_norm",
    "log_softmax",
    "logsumexp",
    "naive_attention",
    "performer_g3",
    "rms_norm",
    "sigmoid_attention",
    "softcap",
    "softmax",
    "window_attention",
}


def test_issue_list_is_there() -> None:
    assert set(NAMES) >= EXPECTED


@pytest.mark.parametrize("name", NAMES)
def test_is_an_example(name: str) -> None:
    module = importlib.import_module(f"refold.examples.{name}")
    assert isinstance(module.SPEC, Spec)
    assert callable(module.main)
    title = (module.__doc__ or "").splitlines()[0]
    assert title.endswith((".", ":"))
    assert len(title) <= 120
    assert ":" in title or "=" in title, "the title gives the formula"


@pytest.mark.parametrize("name", NAMES)
def test_derives(name: str) -> None:
    assert isinstance(derive(importlib.import_module(f"refold.examples.{name}").SPEC), Plan)


@pytest.mark.parametrize("name", NAMES)
def test_imports_public_names_only(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"refold", "refold.examples"}


@pytest.mark.parametrize("name", NAMES)
def test_main(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"refold.examples.{name}")
    module.main()
    printed = capsys.readouterr().out
    assert str(derive(module.SPEC)) in printed
    assert "refuted" not in printed
    assert "unknown" not in printed
