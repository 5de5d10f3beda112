"""Damaged JSON and checkpoints, and what has to hold of those that are read."""

import dataclasses
import io
import typing

import torch
from hypothesis import strategies as st
from mutations import damaged_bytes, damaged_json
from properties import first_of, read_or_refuse
from small_plan import DESCRIPTION, make_plan

from dd_nnunet.core.case import CaseProperties
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.json_record import dump_json, parse_json, record_to_json
from dd_nnunet.core.plan import Plan
from dd_nnunet.core.splits import make_folds
from dd_nnunet.networks.checkpoint import load_checkpoint
from dd_nnunet.storage.atomic import read_record
from dd_nnunet.storage.case_store import Manifest
from dd_nnunet.storage.raw_dataset import load_description
from dd_nnunet.storage.splits import read_splits


@st.composite
def damaged_texts(draw, name, text, beside=()):
    return {name: draw(damaged_json(text)).encode("utf-8", "replace"), **dict(beside)}


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


def check_checkpoint(folder, files):
    """A dictionary, or refused; no code runs (weights_only) and nothing is written."""
    content = read_or_refuse(load_checkpoint, first_of(folder, files), folder=folder)
    assert content is None or isinstance(content, dict)
    return content is not None
