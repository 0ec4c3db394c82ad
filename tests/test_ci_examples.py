"""What the examples for CI run is there: commands, options, formats, and files that links lead to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from refold import pytest_plugin
from refold.cli import Format, app

ROOT = Path(__file__).parents[1]
FILES = ["docs/ci/github-workflow.yml", ".pre-commit-hooks.yaml", "docs/ci.md", "README.md"]


def commands(text: str, program: str) -> list[list[str]]:
    """The words of every line that runs a program."""
    found = re.findall(rf"^(?:    |  *(?:- )?(?:run|entry): )({program} [^\n>#]*)", text, re.MULTILINE)
    return [line.split("   ")[0].split() for line in found]


def options(command: str) -> set[str]:
    group = typer.main.get_command(app)
    return {flag for parameter in group.commands[command].params for flag in parameter.opts}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FILES[:3])
def test_commands_of_the_examples_are_refolds(name: str) -> None:
    text = (ROOT / name).read_text()
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    ours, theirs = commands(text, "refold"), commands(text, "pytest")
    assert ours or theirs
    for words in ours:
        assert words[1] in known, words
        flags = [w for w in words if w.startswith("-")]
        assert set(flags) <= options(words[1]), words
        if "--format" in words:
            assert words[words.index("--format") + 1] in list(Format)
    parser = pytest.Parser(_ispytest=True)
    pytest_plugin.pytest_addoption(parser)
    added = {name for option in parser.getgroup("refold").options for name in option.names()}
    for words in theirs:
        assert {w for w in words if w.startswith("--")} <= added, words


def test_a_command_that_is_not_there_is_noticed() -> None:
    assert commands("    refold nonesuch --x   what\n", "refold") == [["refold", "nonesuch", "--x"]]
    assert "--fail-on" in options("verify") and "--nonesuch" not in options("verify")


@pytest.mark.parametrize("name", FILES[2:])
def test_links_lead_to_files(name: str) -> None:
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", path.read_text()):
        assert (path.parent / target).exists(), target
