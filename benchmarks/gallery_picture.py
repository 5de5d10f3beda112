"""One picture per data set of the gallery: a held-out volume, its truth, and the parts of every level."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from panels import Panel, draw_panels

from dd_nnunet.core.part_colours import Rgb, part_colour
from dd_nnunet.core.plan import Plan
from dd_nnunet.report.gallery import UNMATCHED, merge_labels
from dd_nnunet.report.slices import (
    LabelArray,
    cut,
    grey_levels,
    paint,
    richest_position,
    to_body_axes,
)
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_label_map, read_volume
from dd_nnunet.storage.workspace import DatasetFolders

LONGEST_PIXELS = 192
PANEL_INCHES = 1.9
PLANE = "axial"


@dataclass(frozen=True)
class Layer:
    """Labels [Z,Y,X] on the raw grid, to be painted in these colours."""

    title: str
    labels: LabelArray
    colours: Mapping[int, Rgb]


def draw(folders: DatasetFolders, plan: Plan, fold: str, path: Path) -> None:
    """Draw the first held-out case into a PNG: every channel, the truth, the parts of all levels."""
    draw_panels([list(_panels(folders, plan, fold))], PANEL_INCHES, path)


def _panels(folders: DatasetFolders, plan: Plan, fold: str) -> Iterator[Panel]:
    """Title and picture, all cut at the slice that shows most of the truth (of level 1 without one)."""
    found = {
        level.level: folders.model(plan.plans_name, name)
        / f"fold_{fold}"
        / f"level{level.level}"
        / "validation"
        for name, configuration in plan.configurations.items()
        for level in configuration.levels
    }
    description = load_description(folders)
    ending = description.file_ending
    held_out = {file.name.removesuffix(ending) for file in found[min(found)].glob(f"*{ending}")}
    case = next(c for c in find_cases(folders.images_tr, description) if c.case_id in held_out)
    volume = read_volume(case.channel_files)
    layers = []
    finest = max(found)
    if (truth := folders.labels_tr / f"{case.case_id}{ending}").exists():
        label_map = read_json(found[finest] / "label_map.json")
        layers.append(_truth(read_label_map(truth)[0], description.classes_of_level(finest), label_map))
    for level, folder in sorted(found.items()):
        parts = read_label_map(folder / f"{case.case_id}{ending}")[0]
        colours = {part: part_colour(part) for part in range(1, int(parts.max()) + 1)}
        layers.append(Layer(f"level {level}", parts, colours))
    greys = [to_body_axes(grey_levels(channel), volume.geometry) for channel in volume.array]
    position = richest_position(to_body_axes(layers[0].labels, volume.geometry).array)
    _, *sides = np.multiply(greys[0].array.shape, greys[0].spacing_zyx_mm)
    mm_per_pixel = max(sides) / LONGEST_PIXELS
    flat = [cut(grey, PLANE, position, mm_per_pixel) for grey in greys]
    for name, grey in zip(description.channel_names, flat, strict=True):
        yield name, paint(grey, None, {})
    for layer in layers:
        labels = cut(to_body_axes(layer.labels, volume.geometry), PLANE, position, mm_per_pixel)
        yield layer.title, paint(flat[0], labels, layer.colours)


def _truth(
    labels: LabelArray, classes: Mapping[str, Sequence[int]], label_map: Mapping[str, int | None]
) -> Layer:
    """True classes of the finest level in the colours of the parts that they were matched with, else white."""
    colours = {
        number: part_colour(label_map[name]) if label_map.get(name) else UNMATCHED
        for number, (name, merged) in enumerate(classes.items(), start=1)
        if 0 not in merged
    }
    return Layer("truth", merge_labels(labels, {k: tuple(v) for k, v in classes.items()}), colours)
