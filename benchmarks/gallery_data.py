"""The data sets of the gallery: what each is, and how it is made or found."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from gallery_phantoms import KINDS, Kind

from dataset_conversion.raw_folder import FILE_ENDING, new_dataset, write_channels, write_dataset_json
from dataset_conversion.synthcell import FULL_SIZE, SMALLEST_SIZE
from dataset_conversion.synthcell_dataset import SynthcellRequest, write_synthcell
from dd_nnunet.core.case import Geometry
from dd_nnunet.storage.volume import read_volume, write_labels
from dd_nnunet.storage.workspace import Workspace

NUCLEI = Path(__file__).parent.parent / "tests" / "data" / "stardist_nuclei3d"
NUCLEI_SPACING = (2.0, 1.0, 1.0)
TEMPLATE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
# seeds 0, 1000 and 2000 stand for volumes that rules were chosen on
SEED = 7
STRAIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
FULL_EDGE = 64
SMALLEST_EDGE = 10


@dataclass(frozen=True)
class Request:
    """How the data sets are made.

    Args:
        n_cases: of each synthetic set.
        edge: what the longest edge of a phantom shrinks to, for trials; None = as it is described.
        real: folder with Dataset901_TinyFLAIR, Dataset902_TinyPET and Dataset903_TinyHippocampus, or None.
        template: the T1 file of the MNI152 template; None = that of the installed nilearn.
    """

    n_cases: int = 10
    edge: int | None = None
    real: Path | None = None
    template: Path | None = None


@dataclass(frozen=True)
class Exhibit:
    """A data set of the gallery.

    Args:
        folder: name of the data set, e.g. "Dataset911_CellsRegular".
        title: heading of the page.
        about: what it is, where it comes from and its licence, as Markdown.
        telling: names of the decisions that the page quotes with their reasons.
        write: fills the raw folder; None = a folder below `Request.real` is linked.
        pictured: whether the licence lets us show slices.
    """

    folder: str
    title: str
    about: str
    telling: tuple[str, ...]
    write: Callable[[Path, Request], None] | None = None
    pictured: bool = True


class NotAtHandError(Exception):
    """The files that a data set is made from are not on this machine."""


def make(exhibit: Exhibit, workspace: Workspace, request: Request) -> None:
    """Make or link a raw data set, unless it is there.

    Raises:
        NotAtHandError: its source is missing.
    """
    assert workspace.raw is not None
    target = workspace.raw / exhibit.folder
    if target.exists():
        return
    if exhibit.write is None:
        source = None if request.real is None else request.real / exhibit.folder
        if source is None or not source.is_dir():
            raise NotAtHandError(f"give --real, a folder that holds {exhibit.folder}")
        workspace.raw.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve(), target_is_directory=True)
        return
    with new_dataset(workspace, exhibit.folder, overwrite=False) as folder:
        exhibit.write(folder, request)


def straight_geometry(shape_zyx: Sequence[int], spacing_zyx_mm: Sequence[float]) -> Geometry:
    """A grid along the axes that begins at 0."""
    z, y, x = (int(n) for n in shape_zyx)
    dz, dy, dx = (float(s) for s in spacing_zyx_mm)
    return Geometry((x, y, z), (dx, dy, dz), (0.0, 0.0, 0.0), STRAIGHT)


def cut_into_blocks(shape_zyx: Sequence[int], n_zyx: Sequence[int]) -> list[tuple[slice, slice, slice]]:
    """Adjoining blocks that together are the whole, n per axis, alike to a voxel."""
    cuts = [np.linspace(0, n, k + 1).round().astype(int) for n, k in zip(shape_zyx, n_zyx, strict=True)]
    axes = [[slice(int(a), int(b)) for a, b in pairwise(cut)] for cut in cuts]
    return [(z, y, x) for z, y, x in product(*axes)]


def _write_cells(variant: str) -> Callable[[Path, Request], None]:
    def write(folder: Path, request: Request) -> None:
        size = FULL_SIZE if request.edge is None else max(request.edge, SMALLEST_SIZE)
        n_val = max(1, request.n_cases // 5)
        write_synthcell(
            folder, SynthcellRequest(variant, SEED, size, request.n_cases - n_val, n_val, n_test=0)
        )

    return write


def _write_phantoms(kind: Kind) -> Callable[[Path, Request], None]:
    def write(folder: Path, request: Request) -> None:
        scale = 1.0 if request.edge is None else request.edge / FULL_EDGE
        z, y, x = (max(SMALLEST_EDGE, round(n * scale)) for n in kind.shape_zyx)
        geometry = straight_geometry((z, y, x), kind.spacing_zyx_mm)
        for index in range(request.n_cases):
            phantom = kind.draw(np.random.default_rng([SEED, index]), (z, y, x))
            _write_case(folder, f"case_{index:03d}", phantom.channels, phantom.labels, geometry)
        notes = {"levels": _named_levels(kind.levels), "parts": _named_levels(tuple(map(len, kind.levels)))}
        write_dataset_json(folder, kind.channel_names, request.n_cases, kind.classes, notes)

    return write


def _write_nuclei(folder: Path, request: Request) -> None:
    image, mask = (tifffile.imread(NUCLEI / f"{name}.tif") for name in ("img3d", "mask3d"))
    blocks = cut_into_blocks(image.shape, (1, 3, 2))
    for index, block in enumerate(blocks):
        geometry = straight_geometry(image[block].shape, NUCLEI_SPACING)
        labels = (mask[block] > 0).astype(np.uint8)
        _write_case(folder, f"block_{index}", [image[block]], labels, geometry)
    write_dataset_json(folder, ["fluorescence"], len(blocks), {"background": 0, "nucleus": 1})


def _write_template(folder: Path, request: Request) -> None:
    files = _template_files(request)
    image, *tissues = (read_volume([file]).array[0] for file in files)
    brain = image > 0
    labels = brain.astype(np.uint8)
    for label, probability in zip((2, 3), tissues, strict=True):
        labels[brain & (probability > 127)] = label
    # the template is its own mirror image: with both halves, held-out blocks would have been seen in training
    half = (slice(None), slice(None), slice(0, image.shape[2] // 2))
    inside = tuple(
        slice(int(np.flatnonzero(along)[0]), int(np.flatnonzero(along)[-1]) + 1)
        for along in (brain[half].any(axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
    )
    image, labels = (array[half][inside] for array in (image, labels))
    blocks = cut_into_blocks(image.shape, (3, 3, 1))
    for index, block in enumerate(blocks):
        geometry = straight_geometry(image[block].shape, (1.0, 1.0, 1.0))
        _write_case(folder, f"block_{index}", [image[block].astype(np.uint8)], labels[block], geometry)
    tissue = {"grey matter": 2, "white matter": 3}
    levels = (
        {"background": (0,), "brain": (1, 2, 3)},
        {"background": (0,), "other": (1,), **{name: (label,) for name, label in tissue.items()}},
    )
    notes = {"levels": _named_levels(levels), "parts": _named_levels(tuple(map(len, levels)))}
    write_dataset_json(folder, ["T1"], len(blocks), {"background": 0, "other": 1, **tissue}, notes)


def _template_files(request: Request) -> list[Path]:
    """T1, grey and white matter of the template."""
    first = request.template
    if first is None:
        found = importlib.util.find_spec("nilearn")
        places = found.submodule_search_locations if found else None
        if not places:
            raise NotAtHandError("install nilearn, or give --mni FILE")
        first = Path(places[0]) / "datasets" / "data" / TEMPLATE.format("t1")
    files = [first, *(first.with_name(first.name.replace("_t1_", f"_{name}_")) for name in ("gm", "wm"))]
    for file in files:
        if not file.is_file():
            raise NotAtHandError(f"{file} is missing")
    return files


def _write_case(folder: Path, case_id: str, channels: Sequence[Any], labels: Any, geometry: Geometry) -> None:
    write_channels(folder / "imagesTr", case_id, channels, geometry)
    write_labels(folder / "labelsTr" / f"{case_id}{FILE_ENDING}", labels, geometry)


def _named_levels(values: Sequence[Any]) -> dict[str, Any]:
    return {f"level{number}": value for number, value in enumerate(values, start=1)}


def _synthetic_cells(number: int, variant: str, what: str) -> Exhibit:
    name = "Cells" + "".join(word.capitalize() for word in variant.split("-"))
    return Exhibit(
        f"Dataset{number}_{name}",
        f"Synthetic cells, {variant}",
        f"Ten [synthetic cells](synthetic-data.md) of 50³ voxels with three nested levels; {what}. Made by "
        f"the functions of `dd_convert_synthcell --variant {variant}`.",
        ("timesteps", "stage of level 1", "stage of level 3"),
        _write_cells(variant),
    )


EXHIBITS: Mapping[str, Exhibit] = {
    "regular": _synthetic_cells(911, "regular", "round outlines, pink noise"),
    "irregular": _synthetic_cells(912, "irregular", "wobbly outlines, pink noise"),
    "hard-noise": _synthetic_cells(
        913, "hard-noise", "Brownian noise, whose blobs are as large as the organelles"
    ),
    "nuclei": Exhibit(
        "Dataset914_Nuclei",
        "Crowded nuclei, fluorescence",
        "A volume of the PyPI package [stardist](https://pypi.org/project/stardist/) (BSD-3-Clause), which calls it "
        "synthetic; it lies in [tests/data](../../tests/data/README.md). Cut into six adjoining blocks.",
        ("target spacing", "down-samplings", "stage of level 1"),
        _write_nuclei,
    ),
    "mni152": Exhibit(
        "Dataset915_MNI152",
        "A brain template, T1",
        "The MNI152 template of the PyPI package [nilearn](https://nilearn.github.io), left half, cut into nine "
        "adjoining blocks. The truth is the template's own maps of grey and white matter at one half. Numbers only: "
        "the template is not ours to pass on.",
        ("patch size", "timesteps", "stage of level 1"),
        _write_template,
        pictured=False,
    ),
    "thick-slices": Exhibit(
        "Dataset916_ThickSlices",
        "Thick slices",
        "A phantom of slices five times as thick as their voxels are wide: a body, its core, bright seeds in the "
        "core, a smooth shading, noise.",
        ("target spacing", "down-samplings", "stage of level 2"),
        _write_phantoms(KINDS["thick-slices"]),
    ),
    "ct": Exhibit(
        "Dataset917_PhantomCT",
        "Computed tomography",
        "A phantom in Hounsfield units: air at −1000, a trunk with lungs, spine and liver.",
        ("intensities of 0", "timesteps", "stage of level 2"),
        _write_phantoms(KINDS["ct"]),
    ),
    "two-channels": Exhibit(
        "Dataset918_TwoStains",
        "Two channels",
        "A phantom cell whose balls shine in the first channel only and whose cubes in the second only. The channels "
        "have other number types and ranges.",
        ("intensities", "stage of level 1", "stage of level 2"),
        _write_phantoms(KINDS["two-channels"]),
    ),
    "em": Exhibit(
        "Dataset919_DarkGranules",
        "Dark objects on bright ground",
        "A phantom as electron microscopes show cells, with voxels of 16 nanometres: a grey cell on bright ground, "
        "dark granules in it.",
        ("target spacing", "timesteps", "stage of level 2"),
        _write_phantoms(KINDS["em"]),
    ),
    "flair": Exhibit(
        "Dataset901_TinyFLAIR",
        "Brain tumours, FLAIR MRI",
        "Six patients of BRATS 2013, cropped to the brain, 2 mm (CC BY-NC-SA 3.0 CH). The truth is the whole tumour "
        "alone. Numbers only.",
        ("patch size", "timesteps", "stage of level 1"),
        pictured=False,
    ),
    "pet": Exhibit(
        "Dataset902_TinyPET",
        "Sarcomas, FDG-PET",
        "Eight patients of the IBSI validation set from TCIA, cropped around the tumour (CC BY 3.0). The truth is "
        "the tumour alone. Numbers only.",
        ("target spacing", "timesteps", "stage of level 1"),
        pictured=False,
    ),
    "hippocampus": Exhibit(
        "Dataset903_TinyHippocampus",
        "Hippocampus, MRI",
        "Ten crops of the Medical Segmentation Decathlon's Task04 (CC BY-SA 4.0), of several number types and "
        "intensity scales. The truth is the hippocampus, front and back, which no edge separates. Numbers only.",
        ("intensities", "timesteps", "stage of level 1"),
        pictured=False,
    ),
}
