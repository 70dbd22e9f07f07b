"""Small studies for batches."""

from __future__ import annotations

from pathlib import Path

from tests.study.study_fixture import make_study

NAMES = ("one", "two", "three")


def make_studies(folder: Path, names: tuple[str, ...] = NAMES, points: int = 6) -> list[Path]:
    """Write two traces and a study of them for each name, each with another seed; return the study files."""
    text = make_study(folder, points, "random").read_text(encoding="utf-8")
    (folder / "small.toml").unlink()
    paths = []
    for seed, name in enumerate(names):
        path = folder / f"{name}.toml"
        path.write_text(text.replace('"small"', f'"{name}"').replace("seed = 3", f"seed = {seed}"), "utf-8")
        paths.append(path)
    return paths
