from __future__ import annotations

from pathlib import Path

import pytest

from pba.errors import TraceError
from pba.trace import corpus


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recordings on the shelf, and a folder with files of one's own."""
    for name in (
        "shelf/b-two.parquet",
        "shelf/a-one.parquet",
        "shelf/README.md",
        "own/x.parquet",
        "own/y.events",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.setattr(corpus, "data_dir", lambda: tmp_path / "shelf")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_shelf_is_beside_the_package_or_in_it() -> None:
    package = Path(corpus.__file__).resolve().parents[1]
    assert corpus.data_dir() in (package / "data", package.parent / "data")


def test_recordings_by_name(shelf: Path) -> None:
    assert list(corpus.recordings()) == ["a-one", "b-two"]
    assert corpus.find("b-two") == shelf / "shelf/b-two.parquet"
    assert corpus.find("own/x.parquet") == Path("own/x.parquet")
    with pytest.raises(TraceError, match=r"called 'c' \(there are a-one, b-two"):
        corpus.find("c")


def test_the_beginning_of_a_name_will_do(shelf: Path) -> None:
    assert corpus.find("b") == corpus.resolve("b-t") == shelf / "shelf/b-two.parquet"
    assert corpus.find_all("a") == [shelf / "shelf/a-one.parquet"]
    (shelf / "shelf/a-one-more.parquet").touch()
    assert corpus.find("a-one") == shelf / "shelf/a-one.parquet"  # a whole name is no beginning
    for ask in (corpus.find, corpus.resolve, corpus.find_all, corpus.describe):
        with pytest.raises(TraceError, match=r"'a-' may be any of 2 .*: a-one, a-one-more \(give enough"):
            ask("a-")
    Path("b").touch()
    assert corpus.resolve("b") == Path("b")  # a file goes first
    with pytest.raises(TraceError, match="no recording of pba is called ''"):
        corpus.describe("")


def test_names_patterns_and_paths(shelf: Path) -> None:
    def found(pattern: str, base: Path | None = None) -> list[str]:
        return [path.name for path in corpus.find_all(pattern, base)]

    assert found("*") == ["a-one.parquet", "b-two.parquet"]
    assert found("b-*") == ["b-two.parquet"]
    assert found("a-one") == ["a-one.parquet"]
    assert found("own/*") == ["x.parquet", "y.events"]
    assert found("x.parquet", shelf / "own") == ["x.parquet"]
    assert found(f"{shelf}/own/y*") == ["y.events"]
    for pattern in ("z*", "own/z*", "z"):
        with pytest.raises(TraceError):
            corpus.find_all(pattern)


def test_an_empty_shelf_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "data_dir", lambda: tmp_path)
    with pytest.raises(TraceError, match="there are none in"):
        corpus.find_all("*")
