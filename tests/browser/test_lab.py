"""`pba.interact` in JupyterLab, in a headless Chromium: a slider is moved, and the picture changes."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_report_html import CHROMIUM, FLAGS
from tests.study.cluster_fixture import answers, environment, free_port, kill, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = "import pba\n\nchosen = pba.interact('git-x86')\nchosen"
LATER = "print('chosen', *chosen.thresholds.to_dict().values())"
KEEP = Path(os.environ["PBA_SCREENSHOTS"]) if "PBA_SCREENSHOTS" in os.environ else None
"""Where to leave screenshots, for whoever wants to look at them."""


def notebook(*cells: str) -> dict[str, Any]:
    made = [
        {"cell_type": "code", "id": f"cell-{at}", "metadata": {}, "source": source, "outputs": [],
         "execution_count": None}
        for at, source in enumerate(cells)
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The address of a notebook in a JupyterLab that knows nothing of the user's own settings."""
    if find_spec("jupyterlab") is None or find_spec("ipywidgets") is None:
        pytest.skip("jupyterlab or ipywidgets is not installed: '.[lab]'")
    home = tmp_path / "notebooks"
    home.mkdir()
    (home / "sliders.ipynb").write_text(json.dumps(notebook(CELL, LATER)))
    settings = tmp_path / "jupyterlab_settings_dir" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    port, token = free_port(), secrets.token_hex(16)
    own = {name: str(tmp_path / name.lower()) for name in
           ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root",
         "--ServerApp.port_retries=0", f"--ServerApp.root_dir={home}", f"--IdentityProvider.token={token}",
         "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
        env={**environment(), **own}, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: answers(port), "JupyterLab")
        yield f"http://127.0.0.1:{port}/lab/tree/sliders.ipynb?token={token}"
    finally:
        kill(process)


@pytest.fixture
def page(lab: str) -> Iterator[Any]:
    """The notebook, open in a browser."""
    playwright: Any = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM} (PBA_CHROMIUM names another)")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = chromium.new_page(viewport={"width": 1400, "height": 1050})
        page.set_default_timeout(120_000)  # the kernel may have to be compiled
        page.goto(lab)
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # before, a cell is not run
        yield page
        look(page, "lab-end")
        chromium.close()


def look(page: Any, name: str) -> None:
    if KEEP is not None:
        page.screenshot(path=str(KEEP / f"{name}.png"))


def run_cell(page: Any, at: int) -> None:
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").nth(at).click()
    page.keyboard.press("Shift+Enter")


def test_a_slider_moves_and_the_picture_changes(page: Any) -> None:
    run_cell(page, 0)
    picture = page.locator("img.widget-image")
    picture.wait_for()
    page.get_by_text("batch=512").wait_for()
    page.wait_for_function("document.querySelector('img.widget-image').naturalWidth > 0")
    page.locator(".widget-slider:not([disabled])").nth(3).wait_for()  # the front's, once it is known
    page.wait_for_function("() => ![...document.querySelectorAll('.widget-readout')].some("
                           "e => e.textContent.includes('not known yet'))")  # fmt: skip
    look(page, "lab-begin")
    before, source = picture.screenshot(), picture.get_attribute("src")

    page.locator(".widget-slider .noUi-handle").nth(1).focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.get_by_text("shrink_block_min_pages=67").wait_for()
    page.wait_for_function("source => document.querySelector('img.widget-image').src != source", arg=source)
    assert picture.screenshot() != before
    look(page, "lab-moved")

    page.get_by_role("button", name="keep", exact=True).click()
    page.get_by_text("kept: U=16 M=67 B=512").wait_for()
    page.locator(".widget-slider .noUi-handle").nth(3).focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("shrink_block_min_pages=67").wait_for(state="detached")
    look(page, "lab-front")

    run_cell(page, 1)
    said = page.locator(".jp-OutputArea-output pre", has_text="chosen")
    said.wait_for()
    told = page.locator("code", has_text="pba.Thresholds(").inner_text()
    assert said.inner_text().split()[1:] == [part.split("=")[1] for part in told.strip(")").split(",")]
