"""Look at the page with a real browser, light and dark, wide and narrow."""

import shutil
import subprocess

import numpy as np
import pytest
from fake_run import make_whole
from matplotlib.image import imread

from dd_nnunet.core.part_colours import part_colour
from dd_nnunet.report.collect import ReportRequest
from dd_nnunet.report.page import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HEIGHT = 5000
LIGHT_PAPER, DARK_PAPER = (245, 246, 248), (18, 22, 28)
DARK = "--blink-settings=preferredColorScheme=0"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("screenshot")
    path = root / "report.html"
    write_report(ReportRequest(make_whole(root, dies=True).folders, "ddPlans", "3d_fullres", "0"), path)
    return path


def shoot(page, folder, width, *flags):
    """[rows, columns, 3] in 0–255."""
    picture = folder / "page.png"
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'profile'}", "--force-device-scale-factor=1",
        f"--window-size={width},{HEIGHT}", f"--screenshot={picture}", *flags, page.as_uri(),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert picture.exists(), result.stderr[-2000:]
    return np.round(imread(picture)[..., :3] * 255).astype(int)


def count(pixels, colour):
    return int((pixels == np.array(colour)).all(axis=2).sum())


@pytest.mark.parametrize(("width", "margin"), [(1200, 12), (600, 8)])
def test_nothing_sticks_out_and_the_pictures_are_there(page, tmp_path, width, margin):
    pixels = shoot(page, tmp_path, width)
    assert pixels.shape == (HEIGHT, width, 3)
    assert (pixels[:, -margin:] == LIGHT_PAPER).all()
    assert (pixels[:, :margin] == LIGHT_PAPER).all()
    for part in (1, 2, 3):
        assert count(pixels, part_colour(part)) > 200, part
    alarm = count(pixels, (217, 48, 37))
    assert alarm > 1000  # a part died: the frame of the warnings
    black = (pixels == 0).all(axis=2)
    assert 0.005 < black.mean() < 0.3  # frames of the pictures


def test_the_dark_page_is_dark_with_readable_charts(page, tmp_path):
    pixels = shoot(page, tmp_path, 1200, DARK)
    assert (pixels[:, -12:] == DARK_PAPER).all()
    assert count(pixels, LIGHT_PAPER) == 0
    ink = count(pixels, (230, 234, 240))  # text and axes
    assert ink > 5000
    assert pixels.mean() < 90
