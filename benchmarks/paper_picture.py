"""A held-out cell as lines of the paper's tables divide it.

    python benchmarks/paper_picture.py --work DIR --effort cpu-small --data regular32 --lines paper ours

draws documentation/pictures/results/DATA.png: a row per level; image, truth and a column per line, whose parts have
the colours of the classes that they were matched with, and white where there is none. DIR is that of paper_tables.py.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from panels import Panel, draw_panels
from paper_bench import Bench
from paper_data import EFFORTS, Cells, Real
from paper_rows import OURS, TABLES

from dd_nnunet.core.part_colours import Rgb, part_colour
from dd_nnunet.report.gallery import UNMATCHED, merge_labels
from dd_nnunet.report.slices import (
    LabelArray,
    RgbArray,
    cut,
    grey_levels,
    paint,
    richest_position,
    to_body_axes,
)
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.raw_dataset import find_cases, load_description
from dd_nnunet.storage.volume import read_label_map, read_volume

PICTURES = Path(__file__).parents[1] / "documentation" / "pictures" / "results"
CONFIGURATION, PLANE, PIXELS, PANEL_INCHES = "3d_fullres", "axial", 160, 1.6


@dataclass(frozen=True)
class Shown:
    """What is drawn.

    Args:
        data: of the tables.
        seed: of training.
        lines: their names; rivals' too.
        case: the how manieth held-out one.
    """

    data: Cells | Real
    seed: int
    lines: Sequence[str]
    case: int = 0


def draw(bench: Bench, shown: Shown, path: Path) -> None:
    """Write the PNG."""
    rows = list(_rows(bench, shown))
    draw_panels(rows, PANEL_INCHES, path, [f"level {level}" for level, _ in enumerate(rows, start=1)])


def _rows(bench: Bench, shown: Shown) -> Iterator[list[Panel]]:
    """Title and picture of every panel, level by level, cut at the slice that shows most of the finest truth."""
    folders = bench.folders(shown.data, shown.seed)
    description = load_description(folders)
    (fold, *_) = shown.data.folds
    held_out = read_json(folders.splits_json)[int(fold)]["val"]
    case = next(c for c in find_cases(folders.images_tr, description) if c.case_id == held_out[shown.case])
    volume = read_volume(case.channel_files)
    grey = to_body_axes(grey_levels(volume.array[0]), volume.geometry)
    truth = read_label_map(folders.labels_tr / f"{case.case_id}{description.file_ending}")[0]
    position = richest_position(to_body_axes(truth, volume.geometry).array)
    mm_per_pixel = max(a * b for a, b in zip(grey.array.shape, grey.spacing_zyx_mm, strict=True)) / PIXELS
    flat = cut(grey, PLANE, position, mm_per_pixel)

    def painted(labels: LabelArray, colours: Mapping[int, Rgb]) -> RgbArray:
        return paint(flat, cut(to_body_axes(labels, volume.geometry), PLANE, position, mm_per_pixel), colours)

    for level in range(1, max(len(description.levels), 1) + 1):
        classes = description.classes_of_level(level)
        merged = merge_labels(truth, {name: tuple(labels) for name, labels in classes.items()})
        own = {name: number for number, name in enumerate(classes, start=1)}
        in_colour = {n: part_colour(n) for name, n in own.items() if 0 not in classes[name]}
        panels = [("image", paint(flat, None, {})), ("truth", painted(merged, in_colour))]
        for line in shown.lines:
            folder = _place(bench, shown, line) / f"fold_{fold}" / f"level{level}" / "validation"
            parts = read_label_map(folder / f"{case.case_id}{description.file_ending}")[0]
            matched = {part: own[name] for name, part in read_json(folder / "label_map.json").items()}
            colours = {
                part: in_colour.get(matched[part]) if part in matched else UNMATCHED
                for part in range(int(parts.max()) + 1)
            }
            panels.append((line, painted(parts, {k: rgb for k, rgb in colours.items() if rgb is not None})))
        yield panels


def _place(bench: Bench, shown: Shown, line: str) -> Path:
    folders = bench.folders(shown.data, shown.seed)
    trained = {variant.name for table in TABLES for variant in table.variants}
    if line in trained:
        return folders.model(line, CONFIGURATION)
    return folders.baseline(line, OURS, CONFIGURATION)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw one picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="that of paper_tables.py")
    parser.add_argument("--effort", choices=tuple(EFFORTS), default="cpu-small", help="default: cpu-small")
    parser.add_argument("--data", required=True, help="name of a data set of the tables")
    parser.add_argument("--lines", nargs="+", required=True, help="names of lines and rivals")
    parser.add_argument("--seed", type=int, default=0, help="of training; default: 0")
    parser.add_argument(
        "--case", type=int, default=0, help="the how manieth held-out one; default: the first"
    )
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="where it goes")
    args = parser.parse_args(argv)
    effort = EFFORTS[args.effort]
    known = {data.name: data for data in (*effort.main, *effort.ablation, *effort.real)}
    if args.data not in known:
        parser.error(f"--data {args.data}: choose of {', '.join(known)}")
    shown = Shown(known[args.data], args.seed, tuple(args.lines), args.case)
    draw(Bench(args.work, args.effort), shown, args.pictures / f"{args.data}.png")


if __name__ == "__main__":
    main()
