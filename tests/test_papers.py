"""READMEs tell the truth: commands exist, Python runs, links lead somewhere, made tables are up to date."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pba.cli.app import app
from tests import papers

TEXTS = {str(path.relative_to(papers.ROOT)): path.read_text(encoding="utf-8") for path in papers.PAPERS}
COMMANDS = [(name, line) for name, text in TEXTS.items() for line in papers.commands(text)]
LINKS = [(name, target) for name, text in TEXTS.items() for target in papers.links(text)]
SNIPPETS = [
    (name, code)
    for name, text in TEXTS.items()
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
]
SCRIPTS = sorted((papers.ROOT / "data" / "scripts").rglob("*.*"))


def parse(line: str) -> None:
    """Hold a command line against the commands that there are; it does not run."""
    name, *words = shlex.split(line)[1:]
    # A shell's redirection ends what is pba's.
    words = words[: next((at for at, word in enumerate(words) if word[0] in "<>"), len(words))]
    words = [word for word in words if word != "..."]
    if name.startswith("-"):
        assert name in {option for parameter in get_command(app).params for option in parameter.opts}
        return
    command: Any = get_command(app).commands[name]  # type: ignore[attr-defined]
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    before_the_program = words[: words.index("--")] if "--" in words else words
    unknown = {word for word in before_the_program if re.match("--?[a-zA-Z]", word)} - known
    assert not unknown, f"{command.name} has no {unknown}"


@pytest.mark.parametrize(("name", "line"), COMMANDS)
def test_commands_and_options_exist(name: str, line: str) -> None:
    parse(line)


def test_a_wrong_command_is_seen() -> None:
    for wrong in ("pba tuna", "pba tune --pointless 3", "pba trace cat x", "pba --helf"):
        with pytest.raises((KeyError, AssertionError)):
            parse(wrong)


def test_there_are_things_to_check() -> None:
    assert len(COMMANDS) >= 25
    assert len(LINKS) >= 20
    assert len(SCRIPTS) >= 33
    assert {"README.md", "pba/README.md", "data/README.md", "tests/README.md"} <= set(TEXTS)


@pytest.mark.parametrize(("name", "code"), SNIPPETS, ids=[name for name, _ in SNIPPETS])
def test_python_runs(name: str, code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Where runs are made, they are made elsewhere.
    monkeypatch.chdir(tmp_path if "pba.tune" in code else papers.ROOT)
    names: dict[str, Any] = {}
    exec(compile(code, name, "exec"), names)
    if name == "README.md":
        result = names["result"]
        assert result.counters["events"] == len(names["trace"]) == len(result.timeline)
        assert len(result.checkpoints) == len(names["trace"]) // 4000
        assert re.fullmatch("[0-9a-f]{16}", result.cache_hash)
        assert 0 < result.block_mapped_share <= 1
        assert 0 < result.mean_cached_pages <= result.counters["peak_cached"]


@pytest.mark.parametrize(("name", "target"), LINKS)
def test_links_and_anchors_lead_somewhere(name: str, target: str) -> None:
    file, _, anchor = target.partition("#")
    path = (papers.ROOT / name).parent / file if file else papers.ROOT / name
    assert path.exists()
    if anchor:
        assert anchor in papers.anchors(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", papers.MADE)
def test_made_tables_are_up_to_date(name: str) -> None:
    path, make = papers.MADE[name]
    text = path.read_text(encoding="utf-8")
    assert papers.with_made(text, name, make()) == text, "python -m tests.papers writes it anew"


def test_a_stale_table_is_seen() -> None:
    text = "<!-- rooms: said -->\n\nold\n\n<!-- end -->\n"
    assert papers.with_made(text, "rooms", "new") == "<!-- rooms: said -->\n\nnew\n\n<!-- end -->\n"
    with pytest.raises(SystemExit, match="marked 0 times"):
        papers.with_made(text, "recordings", "new")


def test_no_sentence_stands_twice() -> None:
    """A fact has one place; to repeat it is to let it grow old in one of them."""
    seen: dict[str, str] = {}
    for name, text in TEXTS.items():
        prose = re.sub(
            r"^```.*?^```|^    .*?$|^\|.*?$|^#.*?$|<!--.*?-->", "", text, flags=re.DOTALL | re.MULTILINE
        )
        for sentence in re.split(r"(?<=[.:;])\s+", " ".join(prose.split())):
            if len(sentence) > 40:
                assert sentence not in seen, f"{name} and {seen[sentence]}: {sentence}"
                seen[sentence] = name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_parse(path: Path, tmp_path: Path) -> None:
    checks = {
        ".sh": ["sh", "-n"],
        ".c": ["cc", "-fsyntax-only", "-Wall", "-Werror"],
        ".java": ["javac", "-d", str(tmp_path)],
        ".py": ["python3", "-m", "py_compile"],
    }
    check = checks[path.suffix]
    if shutil.which(check[0]) is None:
        pytest.skip(f"no {check[0]} here")
    subprocess.run([*check, str(path)], check=True, capture_output=True)


def test_every_script_made_a_recording_or_a_machine() -> None:
    scripts = papers.ROOT / "data" / "scripts"
    named = set(re.findall(r"scripts/([\w./-]+)", TEXTS["data/README.md"]))
    machines = {"apt-setup.sh", "root.sh", "initrd.sh", "boot.sh", "guest/init.sh"}
    assert {str(path.relative_to(scripts)) for path in SCRIPTS} - machines <= named


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck here")
def test_scripts_pass_shellcheck() -> None:
    shell = [str(path) for path in SCRIPTS if path.suffix == ".sh"]
    done = subprocess.run(
        ["shellcheck", *shell, ".ci/run", ".docs/build"], cwd=papers.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
