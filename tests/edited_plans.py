"""The tiny plan as JSON, edited by hand."""

import pytest
from small_plan import make_plan

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.json_record import record_from_json, record_to_json
from dd_nnunet.core.plan import Plan

HERE = "$.configurations.3d_fullres"


def edited(keys, value):
    """The plan with another value where the keys lead to."""
    data = inner = record_to_json(make_plan())
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return data


def refused(data):
    """The error with which an edited plan is refused."""
    with pytest.raises(UserError) as caught:
        record_from_json(Plan, data, "ddPlans.json")
    return caught.value
