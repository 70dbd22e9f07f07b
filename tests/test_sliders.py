"""`pba.interact` without a browser: what moves, what is kept, what is chosen; and what is shown elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pba
from pba import sliders
from pba.errors import ThresholdError
from pba.sliders import GRID, Sliders, Still

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed: '.[lab]'")


@pytest.fixture(scope="module")
def known() -> Sliders:
    """Sliders that know their front."""
    made = Sliders("phone-arm64-16k")
    assert made.wait(120)
    return made


@pytest.fixture
def at_patch(known: Sliders) -> Iterator[Sliders]:
    """Sliders at the patch's values, with nothing kept."""
    known.drop_kept()
    known.to_patch()
    yield known


def picture_of(shown: Sliders) -> bytes:
    return bytes(shown._image.value)


def test_it_begins_at_the_patch(at_patch: Sliders) -> None:
    assert at_patch.thresholds == pba.Thresholds.patch(at_patch.machine)
    assert picture_of(at_patch).startswith(b"\x89PNG")
    assert "at U=16" in repr(at_patch)


@pytest.mark.parametrize("name", ["u", "m", "b"])
def test_a_slider_changes_the_picture_and_the_thresholds(at_patch: Sliders, name: str) -> None:
    before = picture_of(at_patch)
    slider = getattr(at_patch, name)
    slider.value = 1024 if name == "m" else slider.options[-1]
    field = {"u": "unshrinkable_pages", "m": "shrink_block_min_pages", "b": "batch"}[name]
    assert getattr(at_patch.thresholds, field) == slider.value
    assert at_patch.watch.thresholds == at_patch.thresholds
    assert picture_of(at_patch) != before
    assert at_patch.watch.result.counters == pba.replay("phone-arm64-16k", at_patch.thresholds).counters
    assert f"{field}={slider.value}" in at_patch._chosen.value
    at_patch.to_patch()
    assert picture_of(at_patch) == before


def test_thresholds_can_be_set_to_any_value(at_patch: Sliders) -> None:
    wanted = pba.Thresholds(123, 457, 789)
    at_patch.thresholds = wanted
    assert at_patch.thresholds == wanted == at_patch.watch.thresholds
    with pytest.raises(ThresholdError):
        at_patch.thresholds = pba.Thresholds(1, 1 << 20, 1)
    assert at_patch.thresholds == wanted


def test_keep_pins_a_curve(at_patch: Sliders) -> None:
    at_patch.thresholds = pba.Thresholds(0, 1, 1)
    at_patch.keep()
    at_patch.keep()  # twice is once
    assert [one.thresholds for one in at_patch.kept] == [pba.Thresholds(0, 1, 1)]
    at_patch.to_patch()
    with_kept = picture_of(at_patch)
    assert "kept: U=0 M=1 B=1" in at_patch._chosen.value
    at_patch.drop_kept()
    assert picture_of(at_patch) != with_kept
    assert "kept" not in at_patch._chosen.value


def test_buttons_do_what_they_say(at_patch: Sliders) -> None:
    buttons = {one.description: one for row in at_patch.widget.children for one in row.children
               if type(one).__name__ == "Button"}  # fmt: skip
    at_patch.u.value = 0
    buttons["keep"].click()
    assert len(at_patch.kept) == 1
    buttons["patch"].click()
    assert at_patch.thresholds == pba.Thresholds.patch(at_patch.machine)
    buttons["drop kept"].click()
    assert at_patch.kept == []


def test_the_front_is_that_of_a_sweep_and_sets_the_sliders(at_patch: Sliders) -> None:
    swept = pba.sweep("phone-arm64-16k", GRID)
    front = swept.front()
    assert len(at_patch.along.options) == 1 + len(front) > 3
    for at, row in enumerate(front.itertuples(), start=1):
        at_patch.along.index = at
        splits, cached = at_patch.watch.aims
        assert splits == row.pmd_splits
        assert cached == pytest.approx(row.mean_cached_pages, rel=1e-12)
        assert f"{splits:,} split" in at_patch.along.label
    last = at_patch.along.value
    assert at_patch.thresholds == last
    at_patch.m.value += 1
    assert at_patch.along.index == 0  # the sliders have left the front
    assert at_patch.thresholds != last
    at_patch.along.index = 0
    assert at_patch.m.value == last.shrink_block_min_pages + 1  # to choose nothing changes nothing


def test_an_exploration_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise pba.PbaError("no luck")

    monkeypatch.setattr(sliders, "sweep", fails)
    made = Sliders("git-x86")
    assert not made.wait(60)
    assert made.bar.description == "no luck"
    made.u.value = 0
    assert made.along.disabled


def test_other_machines_and_first_values() -> None:
    machine = pba.Machine(4, 524288)
    made = Sliders("git-x86", machine, pba.Thresholds(777, 333, 99))
    assert made.thresholds == pba.Thresholds(777, 333, 99)
    assert made.watch.result.machine == machine
    made.wait(60)
    with pytest.raises(ThresholdError):
        Sliders("git-x86", machine, pba.Thresholds(777, 3333, 99))


def test_elsewhere_it_is_a_figure_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    still = pba.interact("git-x86", thresholds=pba.Thresholds(0, 1, 1))
    assert isinstance(still, Still)
    assert still.thresholds == pba.Thresholds(0, 1, 1)
    assert "pip install 'pba[lab]'" in capsys.readouterr().err
    html = still._repr_html_()
    assert html.startswith("<svg")
    assert "pip install" in html


def test_in_a_notebook_they_are_sliders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sliders, "in_notebook", lambda: True)
    made = pba.interact("git-x86")
    assert isinstance(made, Sliders)
    bundle = made._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in (bundle[0] if isinstance(bundle, tuple) else bundle)
    made.wait(60)
    monkeypatch.setattr(sliders, "find_spec", lambda _: None)
    assert isinstance(pba.interact("git-x86"), Still)


def test_the_picture_is_a_picture(at_patch: Sliders) -> None:
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(picture_of(at_patch))))
    assert pixels.shape == (500, 1000, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_a_policy_is_chosen_and_disables_what_it_does_not_have(at_patch: Sliders) -> None:
    before = picture_of(at_patch)
    at_patch.policy.value = "scattered"
    try:
        assert [slider.disabled for slider in (at_patch.u, at_patch.m, at_patch.b, at_patch.along)] == [
            True
        ] * 4
        assert at_patch.watch.result.policy == pba.Policy("scattered")
        replayed = pba.replay("phone-arm64-16k", policy="scattered")
        assert at_patch.watch.result.counters == replayed.counters
        assert picture_of(at_patch) != before
        assert "--policy scattered" in at_patch._chosen.value
        at_patch.keep()
        assert "kept: scattered" in at_patch._chosen.value
        at_patch.drop_kept()
    finally:
        at_patch.policy.value = "v6"
    assert not any(slider.disabled for slider in (at_patch.u, at_patch.m, at_patch.b))
    assert picture_of(at_patch) == before
