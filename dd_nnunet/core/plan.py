"""The plan: all that was decided about a dataset, with the reasons. Written once, never changed by code."""

from dataclasses import dataclass
from typing import Literal

from dd_nnunet.core.configuration_plan import ConfigurationPlan as ConfigurationPlan
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.level_plan import LevelGroup as LevelGroup
from dd_nnunet.core.level_plan import LevelPlan as LevelPlan
from dd_nnunet.core.level_plan import ObjectPlan as ObjectPlan
from dd_nnunet.core.network_plans import DiffusionPlan as DiffusionPlan
from dd_nnunet.core.network_plans import FeaturePlan as FeaturePlan
from dd_nnunet.core.network_plans import SegmenterPlan as SegmenterPlan
from dd_nnunet.core.network_plans import Zyx as Zyx
from dd_nnunet.core.plan_names import DEFAULT_PRESET, PresetName, check_plain_name, check_plans_name
from dd_nnunet.core.volume_plans import STRICT as STRICT
from dd_nnunet.core.volume_plans import NormalizationPlan as NormalizationPlan
from dd_nnunet.core.volume_plans import ReadingPlan as ReadingPlan

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Decision:
    """One choice of the planner, for people; changing it changes nothing else.

    Args:
        name: what was chosen.
        value: what it was set to, in words.
        because: why.
        configuration: that it is about; empty = the whole plan.
    """

    name: str
    value: str
    because: str
    configuration: str = ""


@dataclass(frozen=True)
class Plan:
    """Everything that is planned for a dataset; ddPlans.json.

    Args:
        dataset_name: e.g. "Dataset007_Cells".
        plans_name: name of this plan, letters, digits, "_" and "-"; prepared data and models are filed under it.
        planner: whose settings these are: ours or the paper's.
        preset: how much effort is spent.
        channel_names: of the dataset, in channel order; at least one.
        configurations: resolutions by name, at least one; letters, digits, "_" and "-", for data and models are filed
            under it too. Each level of the hierarchy belongs to one of them.
        decisions: why it is so, in the order in which it was decided.
        schema_version: of this file.
    """

    dataset_name: str
    plans_name: str
    planner: Literal["default", "paper"]
    preset: PresetName
    channel_names: tuple[str, ...]
    configurations: dict[str, ConfigurationPlan]
    decisions: tuple[Decision, ...]
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            reason = f"schema_version is {self.schema_version}, not {SCHEMA_VERSION}: made by another version"
            raise ValueError(reason, "plan anew with dd_plan_experiment")
        try:
            check_plans_name(self.plans_name)
        except ValueError as error:
            raise ValueError(f"plans_name: {error}") from None
        self._check_configurations()
        self._check_levels()

    def _check_configurations(self) -> None:
        if not self.channel_names:
            raise ValueError("channel_names is empty; at least one")
        if not self.configurations:
            raise ValueError("configurations is empty; at least one")
        for name, configuration in self.configurations.items():
            try:
                check_plain_name(name)
            except ValueError as error:
                raise ValueError(f"configurations: {error}") from None
            n_channels, n_entries = len(self.channel_names), len(configuration.normalization)
            if n_entries != n_channels:
                raise ValueError(
                    f"configurations.{name}.normalization has length {n_entries}, channel_names {n_channels}; "
                    "one entry per channel"
                )

    def _check_levels(self) -> None:
        n_parts = {0: 1}
        levels = [level for configuration in self.configurations.values() for level in configuration.levels]
        for level in sorted(levels, key=lambda level: level.level):
            if level.level in n_parts:
                raise ValueError(
                    f"level {level.level} stands twice in the configurations; each level belongs to one"
                )
            coarser = max(n_parts)
            if level.n_parts < n_parts[coarser]:
                raise ValueError(
                    f"n_parts of level {level.level} is {level.n_parts}, fewer than the {n_parts[coarser]} of "
                    f"level {coarser}; a level refines the one before it"
                )
            n_parts[level.level] = level.n_parts
            before = n_parts.get(level.level - 1)
            if level.children and len(level.children) != before:
                raise ValueError(
                    f"level {level.level} has {len(level.children)} children; "
                    f"one per part before it ({before or 'none is planned'}), or none"
                )

    def configuration(self, name: str) -> ConfigurationPlan:
        """The plan of one configuration.

        Raises:
            UserError: a configuration that is not planned.
        """
        if name not in self.configurations:
            planned = ", ".join(self.configurations)
            raise UserError(f"configuration {name!r}", "is not in the plan", f"planned: {planned}")
        return self.configurations[name]

    def planning_anew(self, dataset: str) -> str:
        """The command that plans a dataset again with the same effort; its name is for the caller to add."""
        effort = "" if self.preset == DEFAULT_PRESET else f" --preset {self.preset}"
        effort = " -pl paper" if self.planner == "paper" else effort
        return f"dd_plan_and_preprocess -d {dataset}{effort}"
