"""Records as JSON."""

from dataclasses import dataclass

from dd_nnunet.core.json_record import record_to_json


@dataclass(frozen=True)
class Inner:
    edge: int
    smooth: bool = False


@dataclass(frozen=True)
class Outer:
    inner: tuple[Inner, ...]
    name: str = "none"


def test_defaults_may_be_left_out():
    record = Outer((Inner(3), Inner(4, True)))
    assert record_to_json(record) == {
        "inner": [{"edge": 3, "smooth": False}, {"edge": 4, "smooth": True}],
        "name": "none",
    }
    assert record_to_json(record, without_defaults=True) == {
        "inner": [{"edge": 3}, {"edge": 4, "smooth": True}]
    }
    # what is inside others counts too, a plain value that happens to equal a default does not
    assert record_to_json({"a": Inner(1), "smooth": False}, without_defaults=True) == {
        "a": {"edge": 1},
        "smooth": False,
    }
