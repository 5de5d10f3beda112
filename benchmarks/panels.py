"""Rows of small pictures with titles, as one PNG."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dd_nnunet.report.slices import RgbArray
from dd_nnunet.storage.atomic import write_bytes

Panel = tuple[str, RgbArray]
TITLE_INCHES = 0.25


def draw_panels(
    rows: Sequence[Sequence[Panel]], inches: float, path: Path, names: Sequence[str] = ()
) -> None:
    """Write the PNG.

    Args:
        rows: of pictures [Y,X,3] with what stands over them; of several rows the first alone is titled.
        inches: of one picture.
        path: where it goes.
        names: of the rows, at their left; none without.
    """
    size = (inches * len(rows[0]), inches * len(rows) + TITLE_INCHES)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for number, (axes_of_row, panels) in enumerate(zip(axes, rows, strict=True)):
        for axis, (title, rgb) in zip(axes_of_row, panels, strict=True):
            axis.imshow(rgb, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_frame_on(False)
            if number == 0:
                axis.set_title(title, fontsize=9)
        if names:
            axes_of_row[0].set_ylabel(names[number], fontsize=9)
    stream = io.BytesIO()
    figure.savefig(stream, dpi=100, format="png", pil_kwargs={"optimize": True})
    write_bytes(path, stream.getvalue())
