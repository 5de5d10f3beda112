"""What is fuzzed: for each reader, damaged inputs, and what has to hold of them."""

import dataclasses
import gzip
import io
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from mutations import damaged_bytes, damaged_fields, damaged_json, damaged_lines
from oracles import says
from properties import read_or_refuse
from small_dataset import DESCRIPTION, make_plan
from sound_volumes import (
    META_NAMES,
    MRC_FIELDS,
    NIFTI_FIELDS,
    NRRD_NAMES,
    sound_mrcs,
    sound_niftis,
    sound_text_volumes,
    sound_tiffs,
    text_file,
    tiff_fields,
)

from dd_nnunet.core.case import CaseProperties
from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.json_record import dump_json, parse_json, record_to_json
from dd_nnunet.core.plan import Plan
from dd_nnunet.core.splits import make_folds
from dd_nnunet.evaluation.folder import evaluate_folder
from dd_nnunet.networks.checkpoint import load_checkpoint
from dd_nnunet.storage.atomic import read_record
from dd_nnunet.storage.case_store import Manifest
from dd_nnunet.storage.raw_dataset import load_description
from dd_nnunet.storage.splits import read_splits
from dd_nnunet.storage.volume import read_geometry, read_label_map, read_volume

Files = dict[str, bytes]


@dataclass(frozen=True)
class Target:
    """Inputs (name -> bytes; the first is given to the reader), and the check of one, True if it was read."""

    inputs: st.SearchStrategy[Files]
    check: Callable[[Any], bool]


@st.composite
def damaged_niftis(draw, packed):
    order, data = draw(st.sampled_from(sound_niftis()))
    fields = tuple((offset, order + code) for offset, code in NIFTI_FIELDS)
    data = draw(st.one_of(damaged_fields(data, fields), damaged_bytes(data)))
    if packed:
        data = gzip.compress(data, 1, mtime=0)
        data = draw(st.one_of(st.just(data), st.just(data), damaged_bytes(data, 2)))
    return {"a.nii.gz" if packed else "a.nii": data}


@st.composite
def damaged_text_volumes(draw, ending):
    head, body, beside = draw(st.sampled_from(sound_text_volumes(ending)))
    sign, names = (":", NRRD_NAMES) if ending == ".nrrd" else (" =", META_NAMES)
    data = text_file(ending, draw(st.one_of(damaged_lines(head, sign, names), st.just(head))), body)
    if draw(st.integers(0, 3)) == 0:
        data = draw(damaged_bytes(data, 2))
    if beside and draw(st.integers(0, 3)) == 0:
        beside = {name: draw(damaged_bytes(content, 2)) for name, content in beside.items()}
    return {f"a{ending}": data, **beside}


@st.composite
def damaged_mrcs(draw):
    order, data = draw(st.sampled_from(sound_mrcs()))
    fields = tuple((offset, order + code) for offset, code in MRC_FIELDS)
    return {"a.mrc": draw(st.one_of(damaged_fields(data, fields), damaged_bytes(data)))}


@st.composite
def damaged_tiffs(draw):
    order, data = draw(st.sampled_from(sound_tiffs()))
    return {"a.tif": draw(st.one_of(damaged_fields(data, tiff_fields(order, data)), damaged_bytes(data)))}


@st.composite
def damaged_texts(draw, name, text, beside=()):
    return {name: draw(damaged_json(text)).encode("utf-8", "replace"), **dict(beside)}


def first_of(folder, files):
    """Write the files, and return the path of the first."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / next(iter(files))


def check_volume(folder, files):
    """What passes the gate are voxels that are really there, on a grid that is one."""
    path = first_of(folder, files)
    volume = read_or_refuse(read_volume, [path], folder=folder)
    geometry = read_or_refuse(read_geometry, path, folder=folder)
    if volume is None:
        return False
    assert volume.geometry == geometry
    assert volume.array.shape == (1, *geometry.shape_zyx)
    assert np.isfinite(volume.array).all()
    places = (*geometry.spacing_xyz_mm, *geometry.origin_xyz_mm, *geometry.direction)
    assert all(map(math.isfinite, places)), places
    assert min(geometry.spacing_xyz_mm) > 0
    wanted = says(path)
    if wanted is not None:
        np.testing.assert_allclose(volume.array[0], wanted, rtol=1e-6)
    return True


def check_label_map(folder, files):
    """Labels are the whole numbers that the file holds."""
    path = first_of(folder, files)
    found = read_or_refuse(read_label_map, path, folder=folder)
    if found is None:
        return False
    assert found[0].dtype.kind in "iu"
    wanted = says(path)
    if wanted is not None:
        np.testing.assert_array_equal(found[0].astype(np.float32), wanted)
    return True


def check_json(call):
    """What is read can be written, and reads the same again."""

    def check(folder, files):
        value = read_or_refuse(call, first_of(folder, files), folder=folder)
        if value is None:
            return False
        text = dump_json(record_to_json(value))
        text.encode("utf-8")
        assert record_to_json(value) == parse_json(text, "again")
        return True

    return check


def check_evaluation(folder, files):
    """Scores of whatever label maps: numbers in their range or none, and a summary that is JSON."""
    (folder / "truth").mkdir(), (folder / "out").mkdir()
    description_text, truth, out, ending, n_parts = (
        files[key] for key in ("json", "truth", "out", "ending", "parts")
    )
    (folder / "truth" / f"a{ending}").write_bytes(truth)
    (folder / "out" / f"a{ending}").write_bytes(out)

    def score():
        description = describe_dataset(parse_json(description_text, "dataset.json"), "dataset.json")
        return evaluate_folder(folder / "out", folder / "truth", description, 1, n_parts)

    summary = read_or_refuse(score, folder=folder)
    if summary is None:
        return False
    dump_json(summary).encode("utf-8")
    dices = [metrics["Dice"] for metrics in summary["mean"].values()]
    assert all(dice is None or 0 <= dice <= 1 for dice in dices)
    return True


def check_checkpoint(folder, files):
    """A dictionary, or refused; no code runs (weights_only) and nothing is written."""
    content = read_or_refuse(load_checkpoint, first_of(folder, files), folder=folder)
    assert content is None or isinstance(content, dict)
    return content is not None


@st.composite
def label_maps(draw):
    """Two small label maps of odd numbers, maybe of other shapes or damaged, and what dataset.json says of them."""
    ending = draw(st.sampled_from((".nrrd", ".nii")))
    kinds = {
        "uint8": "u1",
        "short": "i2",
        "int": "i4",
        "float": "f4",
        "double": "f8",
        "uint16": "u2",
        "int64": "i8",
    }
    odd = (
        0,
        1,
        2,
        3,
        255,
        256,
        -1,
        32767,
        65535,
        65536,
        2**31 - 1,
        2**62,
        0.5,
        1e20,
        float("inf"),
        float("nan"),
    )
    found = {}
    for name in ("truth", "out"):
        word, kind = draw(st.sampled_from(sorted(kinds.items())))
        values = draw(st.lists(st.sampled_from((0, 1, 2, *odd)), min_size=1, max_size=4))
        sizes = draw(st.sampled_from(((4, 3, 2), (4, 3, 2), (4, 3, 2), (1, 1, 1), (2, 3, 4), (24, 1, 1))))
        with np.errstate(all="ignore"):
            array = np.resize(np.array(values, np.float64), sizes[::-1]).astype(kind)
        spacing = draw(st.sampled_from(("1 1 1", "1 1 1", "1 1 1.0005", "1 1 2", "1e-30 1 1", "1e30 1 1")))
        found[name] = label_file(ending, word, array, spacing)
        if draw(st.integers(0, 5)) == 0:
            found[name] = draw(damaged_bytes(found[name], 1))
    description = {**DESCRIPTION, "file_ending": ending}
    if draw(st.booleans()):
        description.pop("levels")
    text = dump_json(description)
    found["json"] = draw(damaged_json(text, 1)) if draw(st.booleans()) else text
    return {**found, "ending": ending, "parts": draw(st.sampled_from((None, None, 1, 2, 3, 300)))}


def label_file(ending, word, array, spacing):
    """A label map as a file's bytes."""
    if ending == ".nrrd":
        x, y, z = array.shape[::-1]
        head = f"NRRD0004\ntype: {word}\ndimension: 3\nsizes: {x} {y} {z}\nspacings: {spacing}\n"
        return f"{head}endian: little\nencoding: raw\n\n".encode() + array.tobytes()
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_dtype(array.dtype)
    affine = np.diag([*map(float, spacing.split()), 1.0])
    return nibabel.Nifti1Image(array.T, affine, header, dtype=array.dtype).to_bytes()


def checkpoint_bytes():
    """A small checkpoint."""
    stream = io.BytesIO()
    torch.save({"network": {"w": torch.arange(6.0).reshape(2, 3)}, "epoch": 3, "rank": [1, 0.5]}, stream)
    return stream.getvalue()


@st.composite
def damaged_checkpoints(draw):
    data = checkpoint_bytes()
    # near the start lie the pickled instructions, so most damage is done there
    return {"checkpoint_final.pth": draw(damaged_bytes(data))}


def example(kind):
    """A value of a type that stands in a record."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{field.name: example(hints[field.name]) for field in dataclasses.fields(kind)})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return tuple(example(argument) for argument in arguments if argument is not Ellipsis)
    if origin is dict:
        return {"a": example(arguments[1])}
    if arguments:
        return arguments[0] if origin is typing.Literal else example(arguments[0])
    return {int: 2, float: 1.5, bool: False, str: "a"}[kind]


def json_of(record):
    """A record as the text of its file."""
    return dump_json(record_to_json(record))


def json_readers():
    """JSON files: name -> (file name, sound text, its reader)."""
    return {
        "dataset.json": ("dataset.json", dump_json(DESCRIPTION), load_description),
        "plan": ("ddPlans.json", json_of(make_plan()), lambda path: read_record(Plan, path)),
        "splits": ("splits_final.json", json_of(make_folds("abcde")), read_splits),
        "fingerprint": (
            "fingerprint.json",
            json_of(example(DatasetFingerprint)),
            lambda path: read_record(DatasetFingerprint, path),
        ),
        "properties": (
            "a.json",
            json_of(example(CaseProperties)),
            lambda path: read_record(CaseProperties, path),
        ),
        "manifest": ("manifest.json", json_of(example(Manifest)), lambda path: Manifest.load(path.parent)),
    }


def sidecar_targets():
    """The spacing that stands beside a TIFF."""
    _, tiff = sound_tiffs()[0]
    texts = damaged_texts("a.json", '{"spacing": [3.0, 2.0, 1.0]}')
    return texts.map(lambda files: {"a.tif": tiff, **files})


def all_targets():
    """Name -> target."""
    volumes = {
        "nifti": damaged_niftis(False),
        "nifti_gz": damaged_niftis(True),
        "nrrd": damaged_text_volumes(".nrrd"),
        "mha": damaged_text_volumes(".mha"),
        "mhd": damaged_text_volumes(".mhd"),
        "mrc": damaged_mrcs(),
        "tiff": damaged_tiffs(),
        "tiff_sidecar": sidecar_targets(),
    }
    maps = st.one_of(damaged_niftis(False), damaged_niftis(True), damaged_text_volumes(".nrrd"))
    return {
        **{name: Target(inputs, check_volume) for name, inputs in volumes.items()},
        "label_map": Target(maps, check_label_map),
        "evaluation": Target(label_maps(), check_evaluation),
        **{
            name: Target(damaged_texts(file, text), check_json(call))
            for name, (file, text, call) in json_readers().items()
        },
        "checkpoint": Target(damaged_checkpoints(), check_checkpoint),
    }
