"""Damaged volumes, and what has to hold of one that is read: as an image, and as a label map."""

import gzip
import json
import math

import numpy as np
from damaged_records import damaged_texts
from hypothesis import strategies as st
from mutations import ODD_FLOATS, damaged_bytes, damaged_fields, damaged_lines
from oracles import says
from properties import first_of, read_or_refuse
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

from dd_nnunet.storage.volume import read_geometry, read_label_map, read_volume


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


def damaged_sidecars():
    """The spacing that stands beside a TIFF: lengths, some odd; or damaged text, nearly always refused."""
    _, tiff = sound_tiffs()[0]
    texts = damaged_texts("a.json", '{"spacing": [3.0, 2.0, 1.0]}')
    any_length = st.one_of(st.floats(1e-4, 1e4), st.integers(1, 10**4))
    entries = st.one_of(
        st.fixed_dictionaries(
            {"spacing": st.lists(length, min_size=3, max_size=3), "unit": st.text(max_size=5)}
        )
        for length in (any_length, any_length, st.one_of(st.sampled_from(ODD_FLOATS), any_length))
    )
    lengths = entries.map(lambda entry: {"a.json": json.dumps(entry).encode()})
    return st.one_of(texts, lengths).map(lambda files: {"a.tif": tiff, **files})


def check_sidecar(folder, files):
    """A volume as any other, and the spacing is that of the file beside it."""
    if not check_volume(folder, files):
        return False
    says = json.loads(files["a.json"])["spacing"]
    assert read_geometry(folder / "a.tif").spacing_zyx_mm == tuple(map(float, says))
    return True


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
