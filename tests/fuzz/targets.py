"""What is fuzzed: for each reader, damaged inputs, and what has to hold of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from damaged_label_maps import check_evaluation, label_maps
from damaged_records import check_checkpoint, check_json, damaged_checkpoints, damaged_texts, json_readers
from damaged_volumes import (
    check_label_map,
    check_sidecar,
    check_volume,
    damaged_mrcs,
    damaged_niftis,
    damaged_sidecars,
    damaged_text_volumes,
    damaged_tiffs,
)
from hypothesis import strategies as st

Files = dict[str, bytes]


@dataclass(frozen=True)
class Target:
    """Inputs (name -> bytes; the first is given to the reader), and the check of one, True if it was read."""

    inputs: st.SearchStrategy[Files]
    check: Callable[[Any], bool]


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
    }
    maps = st.one_of(damaged_niftis(False), damaged_niftis(True), damaged_text_volumes(".nrrd"))
    return {
        **{name: Target(inputs, check_volume) for name, inputs in volumes.items()},
        "tiff_sidecar": Target(damaged_sidecars(), check_sidecar),
        "label_map": Target(maps, check_label_map),
        "evaluation": Target(label_maps(), check_evaluation),
        **{
            name: Target(damaged_texts(file, text), check_json(call))
            for name, (file, text, call) in json_readers().items()
        },
        "checkpoint": Target(damaged_checkpoints(), check_checkpoint),
    }
