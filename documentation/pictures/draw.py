"""The README's picture: held-out volumes of `make demo`, the parts found in them, and the truth.

.venv/bin/python documentation/pictures/draw.py demo     # writes documentation/pictures/demo.png
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dd_nnunet.core.part_colours import Rgb, part_colour
from dd_nnunet.report.slices import grey_levels, paint, richest_position
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.raw_dataset import load_description
from dd_nnunet.storage.volume import read_label_map, read_volume

N_CASES = 3
ENLARGE = 6


def plane(array: np.ndarray, z: int) -> np.ndarray:
    """An axial slice, each voxel as a square of pixels."""
    return np.kron(array[z], np.ones((ENLARGE, ENLARGE), dtype=array.dtype))


def truth_colours(label_map: dict[str, int | None], classes: dict[str, tuple[int, ...]]) -> dict[int, Rgb]:
    """The colour of the part that a true class was matched with; white where there is none."""
    colours = {}
    for number, name in enumerate(classes):
        part = label_map.get(name)
        colours[number] = (255, 255, 255) if part is None else part_colour(part)
    return {number: colour for number, colour in colours.items() if label_map.get(list(classes)[number]) != 0}


def main(demo: Path) -> None:
    """Draw the first held-out cases."""
    raw = demo / "raw" / "Dataset999_SynthcellMini"
    predictions = demo / "test" / "dd_nnunet"
    description = load_description(raw)
    levels = sorted(int(path.name.removeprefix("level")) for path in predictions.glob("level*"))
    names = ["volume", *(f"level {level} {what}" for level in levels for what in ("parts", "truth"))]
    figure = Figure(figsize=(1.7 * len(names), 1.75 * N_CASES + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(N_CASES, len(names))
    for row, image_path in zip(axes, sorted((raw / "imagesTs").glob("*.nii.gz")), strict=False):
        case = image_path.name.removesuffix("_0000.nii.gz")
        grey = grey_levels(read_volume([image_path]).array[0])
        truth = read_label_map(raw / "labelsTs" / f"{case}.nii.gz")[0]
        z = richest_position(truth)[0]
        pictures = [paint(plane(grey, z), None, {})]
        for level in levels:
            folder = predictions / f"level{level}"
            parts = read_label_map(folder / f"{case}.nii.gz")[0]
            colours = {part: part_colour(part) for part in range(1, int(parts.max()) + 1)}
            pictures.append(paint(plane(grey, z), plane(parts, z), colours))
            classes = description.classes_of_level(level)
            merged = np.zeros(truth.shape, dtype=np.int32)
            for number, labels in enumerate(classes.values()):
                merged[np.isin(truth, labels)] = number
            colours = truth_colours(read_json(folder / "summary.json")["label_map"], classes)
            pictures.append(paint(plane(grey, z), plane(merged, z), colours))
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(name, fontsize=10)
    figure.savefig(Path(__file__).parent / "demo.png", dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
