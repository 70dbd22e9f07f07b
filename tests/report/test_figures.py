from __future__ import annotations

import re
import sys
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from pba.report.axes import pages_axis, plain, spread
from pba.report.figures import all_pictures, front_picture, timeline_picture
from pba.report.style import style
from tests.report.report_fixture import corner_pictures, corner_runs

CORNERS = corner_runs()
PICTURES = {
    f"{corner}-{picture.name}": (corner, picture.name)
    for corner in CORNERS
    for picture in corner_pictures(corner)
}


@pytest.fixture(params=PICTURES.values(), ids=PICTURES)
def picture(request):
    corner, name = request.param
    return next(picture for picture in corner_pictures(corner) if picture.name == name)


@pytest.fixture(params=["usual", "no-splits", "one-trace", "three-aims", "without-a-sweep", "bad-data"])
def swept_corner(request):
    return request.param


def timeline() -> pd.DataFrame:
    seconds = np.arange(200) / 4
    cached = 1 + np.sin(seconds / 3)
    splits = np.floor(seconds / 10)
    return pd.DataFrame({"seconds": seconds, "cached_mib": cached, "live_mib": 4.0, "pmd_splits": splits})


def axes():
    return Figure().add_subplot()


@pytest.mark.parametrize("corner", ["usual", "no-splits"])
def test_the_same_data_gives_the_same_bytes(corner):
    first, second = corner_pictures(corner), all_pictures(CORNERS[corner])
    for one, other in zip(first, second, strict=True):
        assert one.svg() == other.svg() == other.svg()
        assert one.png() == other.png()


def test_svg_is_xml_with_title_and_description_and_no_date(picture):
    text = picture.svg()
    root = ElementTree.fromstring(text)
    names = [child.tag.split("}")[1] for child in root][:2]
    assert names == ["title", "desc"]
    assert root[0].text == picture.title and root[1].text == picture.alt
    assert "<metadata" not in text and not re.search(r"20\d\d-\d\d-\d\d", text)


def test_png_tells_neither_date_nor_program():
    content = corner_pictures("usual")[0].png()
    assert content.startswith(b"\x89PNG")
    assert b"tEXt" not in content and b"tIME" not in content and b"matplotlib" not in content.lower()


def test_no_two_labels_overlap_and_none_is_cut_off(picture):
    with style():
        figure = picture.figure
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        inside = figure.bbox.padded(1.0)
        boxes = []
        texts = [figure._suptitle, *(text for legend in figure.legends for text in legend.get_texts())]
        for panel in figure.axes:
            ticks = [*panel.get_xticklabels(), *panel.get_yticklabels()]
            labels = [panel.xaxis.label, panel.yaxis.label, panel._left_title]
            low_x, high_x = sorted(panel.get_xlim())
            low_y, high_y = sorted(panel.get_ylim())
            texts += [*labels, *panel.texts]
            texts += [
                tick for tick in ticks[: len(panel.get_xticks())] if low_x <= tick.get_position()[0] <= high_x
            ]
            texts += [
                tick for tick in ticks[len(panel.get_xticks()) :] if low_y <= tick.get_position()[1] <= high_y
            ]
        for text in texts:
            if text.get_text() and text.get_visible():
                boxes.append((text.get_text(), Text.get_window_extent(text, renderer)))  # without its line
    for words, box in boxes:
        assert inside.x0 <= box.x0 and box.x1 <= inside.x1, words
        assert inside.y0 <= box.y0 and box.y1 <= inside.y1, words
    for (first, one), (second, other) in combinations(boxes, 2):
        overlap = (
            one.x0 < other.x1 - 1
            and other.x0 < one.x1 - 1
            and one.y0 < other.y1 - 1
            and other.y0 < one.y1 - 1
        )
        assert not overlap, (first, second)


def test_names_stand_beside_their_own_marks_and_cover_no_other(swept_corner):
    picture = next(one for one in corner_pictures(swept_corner) if one.name == "front")
    with style():
        canvas = FigureCanvasAgg(picture.figure)
        canvas.draw()
        panel = picture.figure.axes[0]
        marks = [panel.transData.transform(text.xy) for text in panel.texts]
        boxes = [Text.get_window_extent(text, canvas.get_renderer()) for text in panel.texts]

    def away(box, mark):
        beyond = [max(low - at, 0, at - high) for at, low, high in zip(mark, box.min, box.max, strict=True)]
        return float(np.hypot(*beyond))

    # The patch and the recommended point are named, and no name is told of two places.
    named = " = ".join(text.get_text() for text in panel.texts).split(" = ")
    assert {"patch", "recommended", "whole blocks only"} <= set(named) and len(named) == len(set(named))
    for own, box in enumerate(boxes):
        assert panel.bbox.x0 <= box.x0 and box.x1 <= panel.bbox.x1
        far = [away(box, mark) for mark in marks]
        assert min(far) > 0
        assert min(far) == far[own] or panel.texts[own].arrow_patch is not None


def test_axes_have_labels_and_the_description_has_numbers(picture):
    bottom = [panel for panel in picture.figure.axes if panel.get_label() != "<colorbar>"][-1]
    assert bottom.get_xlabel()
    assert picture.figure.axes[0].get_ylabel() or picture.name == "recordings"
    assert re.search(r"\d", picture.alt) and picture.caption.endswith(".")


def test_pyplot_is_not_needed_and_settings_come_back():
    import matplotlib

    before = dict(matplotlib.rcParams)
    front_picture(CORNERS["one-point"]).svg()
    assert dict(matplotlib.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or sys.modules["matplotlib.pyplot"].get_fignums() == []


@pytest.mark.parametrize(
    ("values", "scale"),
    [([1, 2, 3], "linear"), ([1, 31], "log"), ([0, 31], "linear"), ([0, 131], "symlog"),
     ([0, 0], "linear"), ([], "linear"),
     ([5, 5], "linear"), ([0.5, 40], "log"), ([0, 0.001, 1], "symlog")],
)  # fmt: skip
def test_scales_follow_the_spread_of_the_values(values, scale):
    panel = axes()
    assert spread(panel, "y", values) == scale
    low, high = panel.get_ylim()
    assert all(low < value < high for value in values)


def test_small_differences_are_not_magnified():
    panel = axes()
    spread(panel, "x", [100, 100.5])
    low, high = panel.get_xlim()
    assert high - low >= 10


def test_bars_of_zero_do_not_invent_negative_values():
    panel = axes()
    spread(panel, "x", [0, 0, 0], whole=True)
    assert panel.get_xlim()[0] > -0.2
    assert all(tick == round(tick) for tick in panel.get_xticks())


@pytest.mark.parametrize("values", [[4, 8, 16384], [0, 4, 64], [1], [1, 512], [100, 101]])
def test_an_axis_of_pages_holds_its_values_and_few_ticks(values):
    panel = axes()
    pages_axis(panel, values)
    low, high = panel.get_xlim()
    assert all(low < value < high for value in values)
    assert 1 <= len([tick for tick in panel.get_xticks() if low <= tick <= high]) <= 8


def test_ticks_are_plain_numbers():
    assert [plain(value) for value in (0, 0.25, 20, 12_000)] == ["0", "0.25", "20", "12,000"]


def test_a_timeline_tells_its_peaks():
    picture = timeline_picture(timeline(), "t")
    assert "4 PMD splits by the end" in picture.alt
    assert picture.svg() == timeline_picture(timeline(), "t").svg()
    assert picture._repr_svg_().startswith("<svg")


def test_the_front_of_a_sweep_is_its_table_with_the_patch_and_the_recommended_point():
    import pba
    from pba.study.exact import recommended_of
    from tests.study.study_fixture import make_trace

    traces = [make_trace("alpha", 1), make_trace("beta", 2)]
    machines = [pba.Machine(4, 16384), pba.Machine(4, 32768)]
    result = pba.sweep(traces, pba.Grid("4,16,64,256", "1:512:32", "64,512"), machines)
    setting = result.settings[1]
    picture = pba.plot_front(result, setting)
    pd.testing.assert_frame_equal(picture.data, pba.df_front(result, setting))
    pd.testing.assert_frame_equal(picture.data, result.front(setting))
    assert picture.svg() == pba.plot_front(result, setting).svg()
    best = recommended_of(result, setting).recommended
    assert f"recommended, {best}" in picture.svg()
    assert f"patch: {result.patch_aims(setting).pmd_splits} splits" in picture.alt.replace(
        " = recommended", ""
    )
    with pytest.raises(pba.PbaError, match="several settings"):
        pba.plot_front(result)
    run = CORNERS["usual"]
    assert pba.plot_front(run).alt == front_picture(run).alt
    assert len(pba.df_front(run)) > 1
