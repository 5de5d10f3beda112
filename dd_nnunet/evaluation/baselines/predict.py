"""Run a baseline on prepared cases and write its parts on the raw grid."""

from collections.abc import Mapping
from pathlib import Path

from dd_nnunet.core.case import PreparedCase
from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan
from dd_nnunet.evaluation.baselines import Segment
from dd_nnunet.preprocessing.case import restore_labels
from dd_nnunet.storage.volume import write_labels


def predict_case(
    segment: Segment, case: PreparedCase, configuration: ConfigurationPlan, targets: Mapping[Path, LevelPlan]
) -> None:
    """Segment one case at several levels.

    Args:
        segment: the method.
        case: prepared as the networks see it.
        configuration: that it is prepared for.
        targets: the file to write for each level.
    """
    parts_per_level = segment(case.array, tuple(targets.values()), configuration)
    for path, parts in zip(targets, parts_per_level, strict=True):
        write_labels(path, restore_labels(parts, case.properties), case.properties.geometry)
