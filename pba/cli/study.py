"""`pba study`: the studies that come with pba, and new ones to begin with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pba.cli.layout import described
from pba.errors import OutputError
from pba.printable import printable

study = typer.Typer(help="List and show the studies that come with pba, and begin new ones.")

JSON = typer.Option("--json", help="Print plain values, as JSON.")


@study.command("list")
def list_(as_json: Annotated[bool, JSON] = False) -> None:
    """List the studies, and what each asks. A name stands for its file: pba tune NAME."""
    from pba.study.shipped import studies
    from pba.study.study_file import read_definition

    found = {name: read_definition(path) for name, path in studies().items()}
    if as_json:
        rows = [{"name": name, "file": str(one.path), "asks": one.description} for name, one in found.items()]
        print(json.dumps(rows, indent=2))
        return
    print(described([(name, one.description) for name, one in found.items()], 80))


@study.command()
def show(
    name: Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, or its file.")] = "quickstart",
) -> None:
    """Print a study's file, after it was checked."""
    from pba.study.shipped import find_study
    from pba.study.study_file import read_definition

    path = find_study(name)
    read_definition(path)
    print(path.read_text(encoding="utf-8"), end="")


@study.command()
def new(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it: my-study.toml.")],
    like: Annotated[
        str, typer.Option("--like", metavar="STUDY", help="The study to begin with.")
    ] = "quickstart",
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
) -> None:
    """Write a study file to change: a copy of one of pba's, with a name of its own.

    pba study new my-study.toml
    pba study new phones.toml --like phone
    """
    import re

    from pba.files import replacing
    from pba.study.asked import study_name
    from pba.study.shipped import find_study
    from pba.study.study_file import parse_definition

    if output.suffix != ".toml":
        raise OutputError(f"{output}: a study file is called something.toml", "say my-study.toml, say")
    text = find_study(like).read_text(encoding="utf-8")
    name = study_name([output.stem])
    text = re.sub(r'^name = ".*"$', f'name = "{name}"', text, count=1, flags=re.MULTILINE)
    text = re.sub(r"\A# What `pba tune` runs[^\n]*\n", "", text)
    parse_definition(text, output)
    with replacing(output, force=force) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"{printable(output)}: a study of its own; change it, then: pba tune {printable(output)}")
