"""What README.md tells people to run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pba.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.search(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^    (pba .+?)(?:\s+#.*)?$", README, re.MULTILINE)


def test_the_python_door(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BLOCK is not None
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(compile(BLOCK[1], "README.md", "exec"), names)
    result = names["result"]
    assert result.counters["events"] == len(names["trace"])
    assert len(result.timeline) == len(names["trace"])
    assert len(result.checkpoints) == len(names["trace"]) // 4000
    assert re.fullmatch("[0-9a-f]{16}", result.cache_hash)
    assert 0 < result.block_mapped_share <= 1
    assert 0 < result.mean_cached_pages <= result.counters["peak_cached"]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_and_options_exist(line: str) -> None:
    name, *words = shlex.split(line)[1:]
    command: Any = get_command(app).commands[name]  # type: ignore[attr-defined]
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    before_the_program = words[: words.index("--")] if "--" in words else words
    assert {word for word in before_the_program if word.startswith("-")} <= known


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 7


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()
