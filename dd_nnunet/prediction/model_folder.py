"""A trained model on disk: the plan and, per fold and level, the segmenter."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from dd_nnunet.core.dataset import DatasetDescription
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan import ConfigurationPlan, LevelGroup, LevelPlan, Plan
from dd_nnunet.core.plan_names import plans_flag
from dd_nnunet.networks.checkpoint import checkpoint_exists
from dd_nnunet.networks.device import Runtime
from dd_nnunet.networks.trained_segmenter import load_segmenter
from dd_nnunet.storage.atomic import read_record, sha256_of
from dd_nnunet.storage.raw_dataset import load_description

CHECKPOINT = "checkpoint_final.pth"


@dataclass(frozen=True)
class ModelFolder:
    """`ddTrainer__{plans}__{configuration}` with its fold_k folders.

    Args:
        path: the folder.
        plan: its plans.json.
        configuration: the plan of the configuration that the folder is named after.
        description: its dataset.json.
    """

    path: Path
    plan: Plan
    configuration: ConfigurationPlan
    description: DatasetDescription

    @property
    def configuration_name(self) -> str:
        """E.g. "3d_fullres"."""
        return _configuration_name(self.path)

    @classmethod
    def open(cls, path: Path, remedy: str = "train it with dd_train") -> "ModelFolder":
        """Read the plan and the dataset's description.

        Args:
            path: the folder.
            remedy: what to do where it is no model folder, in the flags of the command.

        Raises:
            UserError: not a model folder.
        """
        plans_json = path / "plans.json"
        if not plans_json.is_file():
            raise UserError(path, "holds no trained model (no plans.json)", remedy)
        plan = read_record(Plan, plans_json)
        configuration = plan.configuration(_configuration_name(path))
        return cls(path, plan, configuration, load_description(path / "dataset.json"))

    def levels(self, folds: tuple[str, ...], wanted: tuple[int, ...]) -> tuple[LevelPlan, ...]:
        """The wanted levels, or all that every fold has finished.

        Raises:
            UserError: a fold without the wanted level.
        """
        if wanted:
            levels = tuple(self.configuration.level(number) for number in wanted)
            for fold in folds:
                for level in levels:
                    self._require(fold, level)
            return levels
        common = tuple(
            level
            for level in self.configuration.levels
            if all(checkpoint_exists(self._checkpoint(fold, level)) for fold in folds)
        )
        if not common:
            raise UserError(
                self.path,
                f"no level is finished in fold {', '.join(folds)}",
                f"run: {self.training_command(folds[0])}",
            )
        return common

    def begun_levels(self, fold: str) -> tuple[int, ...]:
        """Levels whose training has begun in a fold."""
        folders = ((n.level, self._checkpoint(fold, n).parent) for n in self.configuration.levels)
        return tuple(number for number, folder in folders if folder.is_dir())

    def finished_levels(self, fold: str) -> tuple[int, ...]:
        """Levels whose training has ended in a fold."""
        levels = self.configuration.levels
        return tuple(n.level for n in levels if checkpoint_exists(self._checkpoint(fold, n)))

    def segmenter(self, fold: str, group: LevelGroup, runtime: Runtime) -> nn.Module:
        """The trained segmenter of a fold and a group of levels, in eval mode on the device."""
        n_channels = len(self.configuration.normalization)
        path = self.checkpoint(fold, group)
        return runtime.place_network(load_segmenter(self.configuration.segmenter, n_channels, group, path))

    def checkpoint(self, fold: str, group: LevelGroup) -> Path:
        """The file of the trained segmenter of a fold and a group of levels.

        Raises:
            UserError: it is not trained yet.
        """
        self._require(fold, group.levels[0])
        return self._checkpoint(fold, group.levels[0])

    def checkpoint_sha256(self, fold: str, level: LevelPlan) -> str:
        """Changes when a fold's level is trained anew."""
        return sha256_of(self._checkpoint(fold, level))

    def training_command(self, fold: str) -> str:
        """The command that trains a fold of this model, or goes on with it."""
        plans = plans_flag(self.plan.plans_name)
        return f"dd_train {self.plan.dataset_name} {self.configuration_name} {fold}{plans}"

    def _checkpoint(self, fold: str, level: LevelPlan) -> Path:
        return self.path / f"fold_{fold}" / self.configuration.group(level).folder / CHECKPOINT

    def _require(self, fold: str, level: LevelPlan) -> None:
        path = self._checkpoint(fold, level)
        if not checkpoint_exists(path):
            command = f"{self.training_command(fold)} -l {level.level}"
            raise UserError(path, "does not exist", f"run: {command}")


def _configuration_name(path: Path) -> str:
    return path.name.split("__")[-1]
