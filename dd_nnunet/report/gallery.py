"""Pictures of the cases: image, discovered parts and truth side by side, cut at the same place."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dd_nnunet.core.case import Geometry
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.part_colours import Rgb, part_colour
from dd_nnunet.report.collect import Collected, LevelResult
from dd_nnunet.report.slices import (
    PLANES,
    LabelArray,
    Oriented,
    Zyx,
    cut,
    grey_levels,
    paint,
    pixel_size_mm,
    png_uri,
    richest_position,
    to_body_axes,
)
from dd_nnunet.storage.volume import read_label_map, read_volume

UNMATCHED: Rgb = (255, 255, 255)
BACKGROUND_LABEL = 0


@dataclass(frozen=True)
class Swatch:
    """A line of a legend: what a colour stands for."""

    name: str
    colour: str


@dataclass(frozen=True)
class Picture:
    """One plane as a PNG, `width` pixels wide."""

    plane: str
    uri: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Strip:
    """The three planes of one kind: the image, the parts of a level, or the true classes of a level."""

    title: str
    pictures: tuple[Picture, ...]
    legend: tuple[Swatch, ...]


@dataclass(frozen=True)
class CasePictures:
    """All strips of one case; its size and where it was cut, along the axes of its file."""

    case_id: str
    size: str
    places: tuple[str, ...]
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class _Layer:
    """Labels on the raw grid [Z,Y,X] with their colours and their legend; no labels for the image alone."""

    title: str
    labels: LabelArray | None = None
    colours: Mapping[int, Rgb] = field(default_factory=dict)
    legend: tuple[Swatch, ...] = ()
    discovered: bool = False


def picture_cases(pieces: Collected) -> Iterator[CasePictures]:
    """Draw the cases to show, one in memory at a time."""
    for case_id in pieces.shown_cases:
        yield _picture_case(pieces, case_id)


def true_class_colours(level: LevelResult, classes: Mapping[str, tuple[int, ...]]) -> dict[str, Rgb]:
    """Colour of each true class that is no background: that of the part it was matched with.

    A class no part was matched with is white. Without a matching, classes are coloured in their order.
    """
    names = [name for name, labels in classes.items() if BACKGROUND_LABEL not in labels]
    if level.label_map is None:
        return {name: part_colour(number) for number, name in enumerate(names, start=1)}
    parts = {name: level.label_map.get(name) for name in names}
    return {name: part_colour(part) if part else UNMATCHED for name, part in parts.items()}


def merge_labels(truth_zyx: LabelArray, classes: Mapping[str, tuple[int, ...]]) -> LabelArray:
    """True labels to class numbers 1, 2 … in the order of `classes`; 0 where no class applies."""
    merged = np.zeros(truth_zyx.shape, dtype=np.int32)
    for number, labels in enumerate(classes.values(), start=1):
        merged[np.isin(truth_zyx, labels)] = number
    return merged


def _picture_case(pieces: Collected, case_id: str) -> CasePictures:
    reading = pieces.plan.configuration(pieces.request.configuration).reading
    files = pieces.images[case_id].channel_files
    # a 4-D file stands there once per channel, and is read as a whole
    volume = read_volume(files[: files.count(files[0])], reading)
    geometry = volume.geometry
    layers = list(_layers(pieces, case_id, geometry))
    grey = to_body_axes(grey_levels(volume.array[0]), geometry)
    position = _position(layers, grey.array.shape, geometry)
    strips = tuple(_strip(layer, grey, position, geometry, case_id) for layer in layers)
    return CasePictures(
        case_id=case_id,
        size=_size_text(geometry),
        places=tuple(_place_text(grey, plane, position) for plane in PLANES),
        strips=strips,
    )


def _layers(pieces: Collected, case_id: str, geometry: Geometry) -> Iterator[_Layer]:
    yield _Layer("Image")
    truth = pieces.truth.get(case_id)
    true_labels = None if truth is None else _read_labels(truth, geometry)
    for level in pieces.levels:
        if case_id in level.predictions:
            yield _part_layer(level, _read_labels(level.predictions[case_id], geometry))
        if true_labels is not None and level.predictions:
            yield _truth_layer(level, pieces.description.classes_of_level(level.plan.level), true_labels)


def _part_layer(level: LevelResult, labels: LabelArray) -> _Layer:
    n_parts = max(level.plan.n_parts, int(labels.max()) + 1)
    present = set(np.unique(labels).tolist())
    legend = tuple(
        Swatch(f"part {part}" if part in present else f"part {part} (not here)", _hex(part_colour(part)))
        for part in range(1, n_parts)
    )
    colours = {part: part_colour(part) for part in range(1, n_parts)}
    return _Layer(f"Level {level.plan.level} · parts", labels, colours, legend, discovered=True)


def _truth_layer(level: LevelResult, classes: Mapping[str, tuple[int, ...]], truth: LabelArray) -> _Layer:
    colours = true_class_colours(level, classes)
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    legend = tuple(Swatch(name, _hex(colour)) for name, colour in colours.items())
    painted = {numbers[name]: colour for name, colour in colours.items()}
    return _Layer(f"Level {level.plan.level} · truth", merge_labels(truth, classes), painted, legend)


def _strip(layer: _Layer, grey: Oriented, position: Zyx, geometry: Geometry, case_id: str) -> Strip:
    labels = None if layer.labels is None else to_body_axes(layer.labels, geometry)
    mm_per_pixel = pixel_size_mm(grey)
    pictures = []
    for plane in PLANES:
        painted = None if labels is None else cut(labels, plane, position, mm_per_pixel)
        rgb = paint(cut(grey, plane, position, mm_per_pixel), painted, layer.colours)
        alt = f"{layer.title} of case {case_id}, {plane} slice"
        pictures.append(Picture(plane, png_uri(rgb), rgb.shape[1], rgb.shape[0], alt))
    return Strip(layer.title, tuple(pictures), layer.legend)


def _position(layers: Sequence[_Layer], shape_zyx: Sequence[int], geometry: Geometry) -> Zyx:
    """Where the finest discovered level is richest; the centre where nothing was discovered yet."""
    discovered = [layer.labels for layer in layers if layer.discovered and layer.labels is not None]
    if discovered:
        return richest_position(to_body_axes(discovered[-1], geometry).array)
    z, y, x = shape_zyx
    return ((z - 1) // 2, (y - 1) // 2, (x - 1) // 2)


def _read_labels(path: Path, geometry: Geometry) -> LabelArray:
    labels, grid = read_label_map(path)
    if grid.size_xyz != geometry.size_xyz:
        raise UserError(
            path,
            f"has {grid.size_xyz} voxels, its image {geometry.size_xyz}",
            "give the images it was made from",
        )
    return labels


def _place_text(oriented: Oriented, plane: str, position: Zyx) -> str:
    letter, index, n_voxels = oriented.place_in_file(PLANES[plane], position[PLANES[plane]])
    return f"{plane}: {letter} = {index} of 0–{n_voxels - 1}"


def _size_text(geometry: Geometry) -> str:
    voxels = " × ".join(str(n) for n in geometry.shape_zyx)
    spacing = " × ".join(f"{mm:.3g}" for mm in geometry.spacing_zyx_mm)
    return f"{voxels} voxels of {spacing} mm (k × j × i)"


def _hex(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
