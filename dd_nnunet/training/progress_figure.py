"""progress.png: what a training run did, epoch by epoch, drawn from its log.jsonl."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dd_nnunet.core.part_colours import hex_colour
from dd_nnunet.storage.atomic import atomic_path

Log = Sequence[Mapping[str, Any]]

# loss -> (name in the legend, colour, line style); line styles carry the difference in grey prints
LOSS_LINES = {
    "feature": ("feature", "#0072b2", "-"),
    "visual": ("visual", "#d55e00", "--"),
    "invariance": ("invariance", "#009e73", "-."),
    "cross_entropy": ("cross-entropy", "#cc79a7", ":"),
}


@dataclass(frozen=True)
class Theme:
    """Colours of a figure: `ink` for text and axes, `faint` for grids, `paper` behind ("none": clear)."""

    ink: str
    faint: str
    paper: str


PAPER = Theme(ink="#1f2933", faint="#d8dee6", paper="#ffffff")


def write_progress(log: Log, path: Path, title: str) -> None:
    """Draw the log of a diffusion model or of a level and replace `path` atomically.

    Args:
        log: entries of log.jsonl in order, at least one; those of a level have the key "phase".
        path: a .png file.
        title: above the figure, e.g. "level 1, fold 0".
    """
    figure = draw_progress(log, title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def draw_progress(
    log: Log, title: str = "", theme: Theme = PAPER, part_order: Sequence[int] | None = None
) -> Any:
    """Draw the log of a diffusion model or of a level and return the matplotlib figure.

    Args:
        log: see `write_progress`.
        title: above the figure.
        theme: colours of text, axes and background.
        part_order: training's number of part 0, 1 …; parts get their final numbers after training, so shares
            have the colours of the pictures only where this is given.
    """
    assert log, "a log without entries has no progress"
    if "phase" not in log[0]:
        return _draw_diffusion(log, title, theme)
    return _draw_level(log, title, theme, part_order)


def log_of_level(log: Log, level: int) -> list[Mapping[str, Any]]:
    """What a log says of one level; of a training of several levels, each entry with that level's own values."""
    return [{**entry, **(entry.get("levels") or {}).get(str(level), {})} for entry in log]


def selected_epoch(log: Log) -> int | None:
    """The epoch that training kept: the last one marked `selected`, or None."""
    return next((int(entry["epoch"]) for entry in reversed(log) if entry.get("selected")), None)


def series(log: Log, key: str) -> list[float]:
    """One value per entry; NaN, which matplotlib leaves out, where the entry has none."""
    return [math.nan if entry.get(key) is None else float(entry[key]) for entry in log]


def new_figure(height_inches: float, ratios: Sequence[float], theme: Theme) -> tuple[Any, list[Any]]:
    """A 6.4-inch-wide figure with panels below each other, in the colours of the theme.

    It is built without pyplot, so no global list of figures keeps it alive.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height_inches), layout="constrained", facecolor=theme.paper)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
    axes = [figure.add_subplot(grid[row]) for row in range(len(ratios))]
    for panel in axes:
        style_axes(panel, theme)
    return figure, axes


def style_axes(panel: Any, theme: Theme) -> None:
    """Thin axes left and below, a faint horizontal grid, text in the theme's ink."""
    panel.set_facecolor("none")
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(theme.ink)
    panel.tick_params(colors=theme.ink, labelsize=10)
    panel.grid(axis="y", color=theme.faint, linewidth=0.8)
    panel.set_axisbelow(True)
    for text in (panel.xaxis.label, panel.yaxis.label, panel.title):
        text.set_color(theme.ink)


def legend_above(panel: Any, theme: Theme) -> None:
    """A frameless legend above the panel."""
    panel.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=4,
        frameon=False,
        fontsize=9.5,
        labelcolor=theme.ink,
        borderaxespad=0.2,
        handlelength=1.8,
        columnspacing=1.2,
    )


def _draw_diffusion(log: Log, title: str, theme: Theme) -> Any:
    figure, (loss, rate, seconds) = new_figure(4.6, (3, 1, 1), theme)
    iterations = series(log, "iteration")
    _line(loss, iterations, series(log, "loss"), color="#0072b2", label="training volumes")
    _line(
        loss, iterations, series(log, "val_loss"), color="#d55e00", linestyle="--", label="held-out volumes"
    )
    losses = [v for key in ("loss", "val_loss") for v in series(log, key) if v > 0]
    if losses and max(losses) > 5 * min(losses):
        _log_scale(loss)
    loss.set_ylabel("denoising error (L1)")
    legend_above(loss, theme)
    _line(rate, iterations, series(log, "learning_rate"), color=theme.ink)
    rate.set_ylabel("rate")
    rate.set_ylim(0, None)
    _line(seconds, iterations, series(log, "seconds"), color=theme.ink)
    seconds.set_ylabel("s / epoch")
    seconds.set_ylim(bottom=0)
    seconds.set_xlabel("iteration")
    _finish(figure, (loss, rate, seconds), title, theme)
    return figure


def _log_scale(panel: Any) -> None:
    """A logarithmic axis whose ticks are plain numbers (0.05, 0.1, 0.2), not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())


def _draw_level(log: Log, title: str, theme: Theme, part_order: Sequence[int] | None) -> Any:
    figure, panels = new_figure(7.2, (3, 1.6, 1.8, 1.2), theme)
    losses, parts, shares, certainty = panels
    epochs = series(log, "epoch")
    _draw_losses(losses, log, epochs, theme)
    _draw_part_numbers(parts, log, epochs, theme)
    _draw_shares(shares, log, epochs, part_order)
    _line(certainty, epochs, series(log, "mean_max_probability"), color=theme.ink)
    certainty.set_ylabel("certainty")
    certainty.set_ylim(0, 1.03)
    certainty.set_xlabel("epoch")
    _mark_phases(panels, log, epochs, theme)
    legend_above(losses, theme)
    _finish(figure, panels, title, theme)
    return figure


def _draw_losses(panel: Any, log: Log, epochs: list[float], theme: Theme) -> None:
    _line(panel, epochs, series(log, "total"), color=theme.ink, linewidth=2.2, label="total")
    for key, (name, colour, style) in LOSS_LINES.items():
        values = series(log, key)
        if not all(map(math.isnan, values)):
            _line(panel, epochs, values, color=colour, linestyle=style, label=name)
    panel.set_ylabel("loss")


def _draw_part_numbers(panel: Any, log: Log, epochs: list[float], theme: Theme) -> None:
    n_parts = _n_parts(log)
    panel.axhline(n_parts, color=theme.ink, linewidth=0.8, linestyle=":", label=f"planned: {n_parts}")
    panel.step(epochs, series(log, "alive_parts"), where="mid", color="#0072b2", label="alive")
    _line(panel, epochs, series(log, "effective_parts"), color="#d55e00", linestyle="--", label="effective")
    reseeded = [(float(e["epoch"]), float(e["alive_parts"])) for e in log if e.get("reseeded")]
    if reseeded:
        x, y = zip(*reseeded, strict=True)
        panel.plot(x, y, "^", color="#009e73", markersize=7, label="dead part seeded anew")
    panel.set_ylim(0, n_parts + 0.6)
    panel.yaxis.get_major_locator().set_params(integer=True)
    panel.set_ylabel("parts")
    legend_above(panel, theme)


def _draw_shares(panel: Any, log: Log, epochs: list[float], part_order: Sequence[int] | None) -> None:
    bands = part_order or range(_n_parts(log))
    colours = [hex_colour(part) if part_order else _tint(part) for part in range(len(bands))]
    shares = [[float(entry["part_shares"][band]) for entry in log] for band in bands]
    # a single epoch has no width of its own
    x = epochs if len(epochs) > 1 else [epochs[0] - 0.5, epochs[0] + 0.5]
    y = [row if len(row) > 1 else row * 2 for row in shares]
    panel.stackplot(x, y, colors=colours, linewidth=0)
    panel.set_ylim(0, 1)
    panel.set_ylabel("share of volume")


def _tint(band: int) -> str:
    """Blues that nobody takes for the colours of the pictures."""
    return ("#c6dbef", "#6baed6", "#9ecae1", "#3182bd")[band % 4]


def _mark_phases(panels: Sequence[Any], log: Log, epochs: list[float], theme: Theme) -> None:
    warm = [epoch for epoch, entry in zip(epochs, log, strict=True) if entry["phase"] == "warm_start"]
    kept = selected_epoch(log)
    for row, panel in enumerate(panels):
        if warm:
            label = "warm start" if row == 0 else None
            panel.axvspan(
                warm[0] - 0.5, warm[-1] + 0.5, color=theme.ink, alpha=0.08, linewidth=0, label=label
            )
        if kept is not None:
            label = f"kept: epoch {kept}" if row == 0 else None
            panel.axvline(kept, color=theme.ink, linewidth=1.2, label=label)


def _finish(figure: Any, panels: Sequence[Any], title: str, theme: Theme) -> None:
    from matplotlib.ticker import MaxNLocator

    for panel in panels[:-1]:
        panel.tick_params(labelbottom=False)
        panel.sharex(panels[-1])
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.align_ylabels(panels)
    if title:
        figure.suptitle(title, color=theme.ink, fontsize=11, x=0.02, ha="left")


def _line(panel: Any, x: list[float], y: list[float], **style: Any) -> None:
    """A line; single points, which a line would hide, become visible by a marker."""
    marker = "o" if len(x) == 1 else None
    panel.plot(x, y, marker=marker, **{"linewidth": 1.6, **style})


def _n_parts(log: Log) -> int:
    return len(log[0]["part_shares"])
