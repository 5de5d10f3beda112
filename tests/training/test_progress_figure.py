import math

import pytest

from dd_nnunet.core.part_colours import hex_colour
from dd_nnunet.training.progress_figure import (
    draw_progress,
    selected_epoch,
    series,
    write_progress,
)

DIFFUSION = [
    {"epoch": 0, "iteration": 10, "loss": 0.5, "val_loss": 0.6, "learning_rate": 1e-4, "seconds": 2.0},
    {"epoch": 1, "iteration": 20, "loss": 0.4, "val_loss": 0.5, "learning_rate": 1e-4, "seconds": 3.0},
]


def entry(epoch, phase="discovery", **changes):
    return {
        "epoch": epoch,
        "phase": phase,
        "total": 3.0 - epoch,
        "cross_entropy": 3.0 - epoch if phase == "warm_start" else None,
        "feature": None if phase == "warm_start" else 0.5,
        "visual": None if phase == "warm_start" else 0.3,
        "invariance": None if phase == "warm_start" else 0.1,
        "mean_max_probability": 0.8,
        "effective_parts": 1.9,
        "alive_parts": 2,
        "part_shares": [0.25, 0.75],
        "reseeded": [],
        "selected": False,
        "seconds": 1.0,
        **changes,
    }


LEVEL = [
    entry(0, "warm_start", selected=True),
    entry(1, selected=True),
    entry(2, alive_parts=1, reseeded=[1]),
]


def lines_of(panel):
    return {line.get_label(): list(line.get_ydata()) for line in panel.get_lines()}


def band_colours(panel):
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_hex

    bands = [band for band in panel.collections if isinstance(band, PolyCollection)]
    return [to_hex(band.get_facecolor()[0]) for band in bands]


def test_the_kept_epoch_is_the_last_one_marked():
    assert selected_epoch(LEVEL) == 1
    assert selected_epoch([entry(0), entry(1)]) is None


def test_what_was_not_logged_is_nan():
    values = series(LEVEL, "feature")
    assert math.isnan(values[0]) and values[1:] == [0.5, 0.5]


def test_diffusion_draws_both_losses_over_iterations():
    loss, rate, seconds = draw_progress(DIFFUSION).axes
    assert lines_of(loss) == {"training volumes": [0.5, 0.4], "held-out volumes": [0.6, 0.5]}
    assert list(loss.get_lines()[0].get_xdata()) == [10, 20]
    assert list(rate.get_lines()[0].get_ydata()) == [1e-4, 1e-4]
    assert list(seconds.get_lines()[0].get_ydata()) == [2.0, 3.0]


def test_level_draws_the_losses_by_name_the_warm_start_and_the_kept_epoch():
    losses, parts, _, certainty = draw_progress(LEVEL).axes
    drawn = lines_of(losses)
    assert drawn["total"] == [3.0, 2.0, 1.0]
    assert drawn["visual"][1:] == [0.3, 0.3] and math.isnan(drawn["visual"][0])
    assert losses.get_legend_handles_labels()[1] == [
        "total",
        "feature",
        "visual",
        "invariance",
        "cross-entropy",
        "warm start",
        "kept: epoch 1",
    ]
    assert list(losses.get_lines()[-1].get_xdata()) == [1, 1]
    shade = losses.patches[0]
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (-0.5, 0.5)
    assert lines_of(parts)["alive"] == [2, 2, 1]
    assert lines_of(parts)["dead part seeded anew"] == [1]
    assert list(certainty.get_lines()[0].get_ydata()) == [0.8, 0.8, 0.8]


def test_shares_have_the_colours_of_the_pictures_only_where_the_final_numbers_are_known():
    shares = draw_progress(LEVEL, part_order=[1, 0]).axes[2]
    assert band_colours(shares) == [hex_colour(0), hex_colour(1)]
    # training's part 1 becomes part 0 and lies below: its band ends at 0.75
    assert shares.collections[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(0.75)
    assert set(band_colours(draw_progress(LEVEL).axes[2])).isdisjoint({hex_colour(0), hex_colour(1)})


@pytest.mark.parametrize("log", [DIFFUSION, DIFFUSION[:1], LEVEL, LEVEL[:1]])
def test_progress_png_replaces_the_old_one_and_leaves_nothing_else(tmp_path, log):
    path = tmp_path / "progress.png"
    path.write_bytes(b"old")
    write_progress(log, path, "level 1")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert list(tmp_path.iterdir()) == [path]


def test_pyplot_is_never_loaded(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from dd_nnunet.training import progress_figure as p\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"p.draw_progress({DIFFUSION!r}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
