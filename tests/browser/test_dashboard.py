"""optuna-dashboard on a run's journal and on mirrors of it, in a headless Chromium."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pba.study.result import JOURNAL_FILE
from pba.study.tune import tune
from tests.browser.test_report_html import CHROMIUM, FLAGS
from tests.study.cluster_fixture import answers, environment, free_port, kill, postgres_server, wait_for
from tests.study.study_fixture import make_study

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in `run`, and its mirror in `all.db`."""
    folder = tmp_path_factory.mktemp("dashboard")
    tune(make_study(folder, 33, "random"), folder / "run", storage=f"sqlite:///{folder / 'all.db'}")
    return folder


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, home: Path) -> Iterator[str]:
    """What the dashboard is told to show."""
    if request.param == "journal":
        yield str(home / "run" / JOURNAL_FILE)
    elif request.param == "sqlite":
        yield f"sqlite:///{home / 'all.db'}"
    else:
        with postgres_server() as server:
            tune(home / "small.toml", home / "run", storage=server.url)
            yield server.url


@pytest.fixture
def address(storage: str) -> Iterator[str]:
    """A dashboard's address."""
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed: '.[dashboard]'")
    port = free_port()
    code = "from optuna_dashboard._cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, storage, "--host", "127.0.0.1", "--port", str(port), "--quiet"],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: answers(port), "dashboard")
        yield f"http://127.0.0.1:{port}"
    finally:
        kill(process)


def test_the_dashboard_shows_study_and_aims_by_their_names(address: str) -> None:
    playwright: Any = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM} (PBA_CHROMIUM names another)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = chromium.new_page()
        page.goto(f"{address}/dashboard")
        page.get_by_text("small", exact=False).first.wait_for()
        page.get_by_text("small", exact=False).first.click()
        page.wait_for_url("**/studies/*")
        for name in ("pmd_splits", "mean_cached_pages", "unshrinkable_pages"):
            page.get_by_text(name).first.wait_for()
        chromium.close()
