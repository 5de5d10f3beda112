"""Charts as `data:` URIs, each drawn twice: for a light page and for a dark one."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dd_nnunet.core.part_colours import hex_colour
from dd_nnunet.report.parts import PartSizes
from dd_nnunet.training.progress_figure import PAPER, Log, Theme, draw_progress, new_figure

ON_LIGHT = replace(PAPER, paper="none")
ON_DARK = Theme(ink="#e6eaf0", faint="#3a434f", paper="none")


@dataclass(frozen=True)
class Chart:
    """A chart as two SVG `data:` URIs and the words a reader who cannot see it gets."""

    light: str
    dark: str
    alt: str


def chart(draw: Callable[[Theme], Any], alt: str) -> Chart:
    """Draw with the theme of a light and of a dark page."""
    return Chart(light=_svg_uri(draw(ON_LIGHT)), dark=_svg_uri(draw(ON_DARK)), alt=alt)


def progress_chart(log: Log, name: str, part_order: Sequence[int] | None = None) -> Chart:
    """Training curves of the diffusion model or of a level (see `draw_progress`)."""
    return chart(
        lambda theme: draw_progress(log, theme=theme, part_order=part_order), f"Training curves of {name}"
    )


def part_size_chart(sizes: PartSizes, level: int) -> Chart:
    """Mean volume of every part but 0 as bars, and every case as a dot."""
    return chart(lambda theme: _draw_part_sizes(sizes, theme), f"Volumes of the parts of level {level}")


def _draw_part_sizes(sizes: PartSizes, theme: Theme) -> Any:
    parts = list(range(1, sizes.voxels.shape[1]))
    figure, (panel,) = new_figure(0.7 + 0.32 * len(parts), (1,), theme)
    volumes = sizes.volumes[:, 1:]  # [N,K-1]
    panel.barh(
        parts, volumes.mean(axis=0), height=0.62, color=[hex_colour(p) for p in parts], edgecolor=theme.ink
    )
    for part, values in zip(parts, volumes.T, strict=True):
        panel.plot(
            values, part + _spread(values), "o", color=theme.ink, markersize=4, markeredgecolor="#ffffff"
        )
    panel.set_yticks(parts, [f"part {part}" for part in parts])
    panel.set_ylim(len(parts) + 0.5, 0.5)
    panel.grid(axis="y", visible=False)
    panel.grid(axis="x", color=theme.faint, linewidth=0.8)
    panel.set_xlim(left=0)
    panel.set_xlabel(f"volume ({sizes.unit}): bar = mean, dot = one case", color=theme.ink)
    return figure


def _spread(values: Sequence[float]) -> Any:
    """Small regular offsets, so that dots of equal cases do not hide each other."""
    return (np.arange(len(values)) % 5 - 2) * 0.07


def _svg_uri(figure: Any) -> str:
    from matplotlib import rc_context

    stream = io.BytesIO()
    # a fixed salt and no date, so that the same log gives the same bytes
    with rc_context({"svg.hashsalt": "dd_nnunet", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
