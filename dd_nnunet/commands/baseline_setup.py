"""What dd_baseline works with: levels and files of each configuration, and what divides the cases of a fold."""

import argparse
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dd_nnunet.commands import cli
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan_names import plans_flag

if TYPE_CHECKING:
    from dd_nnunet.core.dataset import DatasetDescription
    from dd_nnunet.core.plan import ConfigurationPlan, LevelPlan, Plan
    from dd_nnunet.evaluation.baselines import Segment
    from dd_nnunet.storage.workspace import DatasetFolders

LOGGER = logging.getLogger(__name__)
OBJECTS = "objects"
# the keys of evaluation.baselines.METHODS and .on_features.METHODS_ON_FEATURES, imported only when a command runs
ON_FEATURES = ("feat-kmeans", "feat-gmm")
METHOD_NAMES = ("kmeans", "denoise-kmeans", OBJECTS, "otsu", "bright-cluster", *ON_FEATURES)
# denoise-kmeans by other denoisers: slow, or by a package that is not ours to install
OTHER_DENOISERS = ("nlm-kmeans", "bm4d-kmeans")
ALL_METHODS = METHOD_NAMES + OTHER_DENOISERS


@dataclass(frozen=True)
class Job:
    """A configuration of a dataset's plan, and the levels asked of it."""

    folders: "DatasetFolders"
    description: "DatasetDescription"
    whole_plan: "Plan"
    configuration: str
    levels: "tuple[LevelPlan, ...]"

    @property
    def plan(self) -> "ConfigurationPlan":
        """Of the configuration."""
        return self.whole_plan.configuration(self.configuration)

    def targets(self, folder: Path, case_id: str, below: str = "") -> "dict[Path, LevelPlan]":
        """The file of a case at every level: folder/level{l}/below/{case}{ending}."""
        name = f"{case_id}{self.description.file_ending}"
        return {folder / f"level{level.level}" / below / name: level for level in self.levels}


def find_jobs(args: argparse.Namespace) -> list[Job]:
    """One job per configuration with a level that was asked for.

    Raises:
        UserError: a configuration or level that is not planned; no level for the method.
    """
    from dd_nnunet.storage.raw_dataset import load_description

    folders = cli.workspace(args).dataset(args.dataset)
    description = load_description(folders)
    plan = cli.read_plan(folders, args.plans_name, args.dataset)
    chosen = cli.levels_by_configuration(plan, args.configuration, args.level)
    jobs = [Job(folders, description, plan, name, levels) for name, levels in chosen.items()]
    return jobs if args.method != OBJECTS else _from_objects(jobs)


def _from_objects(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with those of their levels alone that start from objects.

    Raises:
        UserError: none does.
    """
    kept = []
    for job in jobs:
        levels = tuple(level for level in job.levels if job.plan.starts_from_objects(level))
        left_out = [str(level.level) for level in job.levels if level not in levels]
        if left_out:
            LOGGER.warning(
                "level %s of %s does not start from objects; left out", " ".join(left_out), job.configuration
            )
        if levels:
            kept.append(replace(job, levels=levels))
    if not kept:
        raise UserError(
            "--method objects", "no level of the plan starts from objects", "choose another method"
        )
    return kept


def require_diffusion(args: argparse.Namespace, job: Job, folds: Iterable[str]) -> None:
    """Before any work is done: are the diffusion models there that the method needs?

    Raises:
        UserError: a fold has none, or one of another plan.
    """
    from dd_nnunet.commands.train_setup import refuse_other_plan
    from dd_nnunet.networks.checkpoint import checkpoint_exists

    if args.method not in ON_FEATURES:
        return
    for fold in folds:
        checkpoint = _fold_folder(args, job, fold) / "diffusion" / "checkpoint_final.pth"
        if not checkpoint_exists(checkpoint):
            fold_of_model = f"{args.dataset} {job.configuration} {fold}{plans_flag(args.plans_name)}"
            reason = f"does not exist; {args.method} needs the diffusion model of fold {fold}"
            raise UserError(checkpoint, reason, f"run: dd_train {fold_of_model} --stage diffusion")
    refuse_other_plan(job.folders.model(args.plans_name, job.configuration) / "plans.json", job.whole_plan)


def method_for_fold(args: argparse.Namespace, job: Job, fold: str) -> "Segment":
    """What divides the cases of a fold; that of a method on features is fitted to its training cases first.

    Args:
        args: of dd_baseline.
        job: which configuration and levels.
        fold: its name; any where the method needs none.

    Raises:
        UserError: the device is not there; the fold's data or its diffusion model are not as they should be.
    """
    from dd_nnunet.evaluation.baselines import METHODS

    if args.method in METHODS:
        return METHODS[args.method]
    from dd_nnunet.commands.train_setup import load_fold, make_setup
    from dd_nnunet.evaluation.baselines.feature_clusters import FeatureClusters
    from dd_nnunet.evaluation.baselines.on_features import METHODS_ON_FEATURES
    from dd_nnunet.evaluation.baselines.voxel_features import FoldFeatures
    from dd_nnunet.storage.run_folder import identity_of
    from dd_nnunet.training.stopping import StopRequest

    fold_folder = _fold_folder(args, job, fold)
    seed = identity_of(fold_folder / "diffusion").get("seed", 0)
    # as dd_train would be called
    training = {"configuration": job.configuration, "fold": fold, "seed": seed, "deterministic": False}
    args_of_training = argparse.Namespace(**{**vars(args), **training})
    cases = load_fold(args_of_training, job.folders, job.whole_plan)
    setup = make_setup(args_of_training, job.folders, job.plan, cases, StopRequest())
    LOGGER.info("%s fold %s: features of the training cases; %s", args.method, fold, setup.runtime.because)
    output = job.folders.baseline(args.method, args.plans_name, job.configuration)
    features = FoldFeatures(setup, fold_folder, output / f"fold_{fold}" / "features", job.levels)
    return FeatureClusters(METHODS_ON_FEATURES[args.method], features, job.levels)


def _fold_folder(args: argparse.Namespace, job: Job, fold: str) -> Path:
    return job.folders.model(args.plans_name, job.configuration) / f"fold_{fold}"
