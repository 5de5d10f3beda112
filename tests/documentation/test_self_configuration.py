"""Every field of the plan has its row in the explanation: from what it follows, where, and how to change it."""

import dataclasses
import re
import typing

import pytest
from documentation.generator import ROOT, load_generator

from dd_nnunet.core.plan import Plan
from dd_nnunet.planning.presets import Preset

GENERATOR = load_generator()
PAGE = ROOT / "documentation" / "explanation" / "self-configuration.md"
SECTION = PAGE.read_text(encoding="utf-8").split("\n## Every field of the plan\n")[1].split("\n## ")[0]
KINDS = {"fixed", "preset", "rule-based", "given", "told", "see below"}
NAME = re.compile(r"`([^`]+)`")


def rows_of(record):
    section = SECTION.split(f"\n### {record.__name__}\n")[1].split("\n### ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in rows]


def records_below(kind):
    """The dataclasses that a type is made of."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return {kind}.union(*(records_below(hints[field.name]) for field in dataclasses.fields(kind)))
    return set().union(*map(records_below, typing.get_args(kind)))


def test_every_record_of_a_plan_is_documented():
    assert set(GENERATOR.PLAN_RECORDS) == records_below(Plan)
    assert re.findall(r"^### (\w+)$", SECTION, flags=re.MULTILINE) == [
        record.__name__ for record in GENERATOR.PLAN_RECORDS
    ]


@pytest.mark.parametrize("record", GENERATOR.PLAN_RECORDS)
def test_every_field_has_a_row_and_no_other_has(record):
    assert [row[0].strip("`") for row in rows_of(record)] == [f.name for f in dataclasses.fields(record)]


@pytest.mark.parametrize("record", GENERATOR.PLAN_RECORDS)
def test_rows_are_complete_and_name_what_there_is(record):
    records = (*GENERATOR.PLAN_RECORDS, *GENERATOR.FINGERPRINT_RECORDS, Preset)
    known = {field.name for each in records for field in dataclasses.fields(each)}
    flags = {flag for p in GENERATOR.read_parsers().values() for a in p._actions for flag in a.option_strings}
    for _, kind, source, module, change in rows_of(record):
        assert kind in KINDS
        assert "](../../dd_nnunet/" in module
        assert (source and change) or kind in ("see below", "given")
        for name in NAME.findall(source):
            assert name in known | flags | {"3d_lowres", "paper"}, name


@pytest.mark.parametrize("record", GENERATOR.PLAN_RECORDS)
def test_what_a_preset_decides_is_a_key_of_the_presets(record):
    keys = {field.name for field in dataclasses.fields(Preset)}
    for field, kind, source, _, _ in rows_of(record):
        assert kind != "preset" or NAME.search(source)[1] in keys, field


def test_every_key_of_the_presets_decides_something_that_is_told():
    # what it is for is told with the presets themselves, and what the released code does with --as_released
    elsewhere = {"because", "released_segmenter"}
    named = {
        name for record in GENERATOR.PLAN_RECORDS for row in rows_of(record) for name in NAME.findall(row[2])
    }
    # a field of the plan that is the preset's own, of the same name
    named |= {row[0].strip("`") for record in GENERATOR.PLAN_RECORDS for row in rows_of(record)}
    assert {field.name for field in dataclasses.fields(Preset)} - elsewhere <= named


def test_every_rule_says_where_it_was_measured_or_whose_it_is():
    decided = PAGE.read_text(encoding="utf-8").split("\n## What is decided\n")[1].split("\n## ")[0]
    rows = [line for line in decided.splitlines() if line.startswith("| ")]
    assert rows[0].endswith("| where it was measured, or whose rule it is |")
    for row in rows:
        assert row.count("|") == 6 and row.rsplit("|", 2)[1].strip(), row


def test_records_are_found_by_hand():
    @dataclasses.dataclass
    class Inner:
        number: int

    assert records_below(tuple[Inner, ...]) == records_below(Inner | None) == {Inner}
    assert records_below(dict[str, float]) == set()
