"""Odd and damaged label maps with what dataset.json says of them, and what has to hold of their scores."""

import numpy as np
from hypothesis import strategies as st
from mutations import damaged_bytes, damaged_json
from properties import read_or_refuse
from small_plan import DESCRIPTION

from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.json_record import dump_json, parse_json
from dd_nnunet.evaluation.folder import evaluate_folder


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
