"""A trained model leaves as JSON and tensors, and comes back only if it fits its plan."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from torch import nn

from dd_nnunet.core.errors import UserError
from dd_nnunet.core.fingerprint import DatasetFingerprint
from dd_nnunet.core.plan import ConfigurationPlan, LevelGroup, LevelPlan
from dd_nnunet.networks.checkpoint import checkpoint_exists, load_checkpoint, save_checkpoint
from dd_nnunet.networks.diffusion_unet import DiffusionUNet
from dd_nnunet.networks.segmentation_unet import build_group_segmenter
from dd_nnunet.networks.shared_weights import pack_weights, unpack_weights
from dd_nnunet.networks.trained_segmenter import check_order
from dd_nnunet.prediction.model_folder import CHECKPOINT, ModelFolder
from dd_nnunet.storage.atomic import read_json, read_record
from dd_nnunet.storage.model_archive import ASK_AGAIN, MANIFEST, MODEL_JSON, ModelManifest, shared_weights

DIFFUSION = "diffusion"
# a network halves its volume at each; a plan with more is none of ours
MOST_RESOLUTIONS = 32
MOST_CONVOLUTIONS = 32
Files = dict[str, Callable[[], bytes]]


def model_files(model: ModelFolder, folds: Sequence[str], levels: Sequence[LevelPlan]) -> Files:
    """What a model needs to predict elsewhere.

    Returns:
        What makes the content of each file, by its name below the model's folder.

    Raises:
        UserError: a fold has not finished a level, or a JSON file is missing or damaged.
    """
    read_record(DatasetFingerprint, model.path / "dataset_fingerprint.json")
    files: Files = {name: (model.path / name).read_bytes for name in MODEL_JSON}
    for fold in folds:
        for group in model.configuration.groups_of(levels):
            build = partial(_segmenter, model.configuration, group)
            files[shared_weights(fold, group.folder)] = partial(_packed, model.checkpoint(fold, group), build)
    return files


def diffusion_files(model: ModelFolder, folds: Sequence[str]) -> Files:
    """The diffusion models of the folds, as `model_files` has the segmenters.

    Raises:
        UserError: a fold has none.
    """
    files: Files = {}
    for fold in folds:
        path = model.path / f"fold_{fold}" / DIFFUSION / CHECKPOINT
        if not checkpoint_exists(path):
            raise UserError(path, "does not exist", "leave out --with_diffusion, or this fold")
        files[shared_weights(fold, DIFFUSION)] = partial(
            _packed, path, partial(_diffusion, model.configuration)
        )
    return files


def crossval_files(model: ModelFolder) -> Files:
    """The scores over all folds, as `model_files` has the segmenters.

    Raises:
        UserError: there are none.
    """
    paths = sorted(model.path.glob("crossval_results_folds_*/level*/summary.json"))
    if not paths:
        remedy = "run dd_accumulate_crossval_results, or leave out --with_crossval"
        raise UserError(model.path, "holds no scores over folds", remedy)
    return {path.relative_to(model.path).as_posix(): path.read_bytes for path in paths}


def install_model(unpacked: Path, target: Path, manifest: ModelManifest) -> None:
    """Make a model folder of the files of an archive, each checked against the plan among them.

    Args:
        unpacked: holds the files of the manifest; the JSON files are taken away from there.
        target: a folder to make, with the name that the model shall have.
        manifest: of the archive.

    Raises:
        UserError: a file is damaged, or does not fit the plan.
    """
    for file in manifest.files:
        if file.name.endswith(".json"):
            read_json(unpacked / file.name)
            (target / file.name).parent.mkdir(parents=True, exist_ok=True)
            (unpacked / file.name).rename(target / file.name)
    read_record(DatasetFingerprint, target / "dataset_fingerprint.json")
    model = ModelFolder.open(target)
    _check_channels(model)
    _check_sizes(model.configuration, target / "plans.json")
    diffusion = partial(_diffusion, model.configuration)
    groups = model.configuration.groups_of(map(model.configuration.level, manifest.levels))
    if [group.folder for group in groups] != list(manifest.trainings):
        reason = f"is of {' '.join(manifest.trainings)}, the plan among its files of others"
        raise UserError(unpacked / MANIFEST, reason, ASK_AGAIN)
    for fold in manifest.folds:
        for group in groups:
            shared = unpacked / shared_weights(fold, group.folder)
            content = unpack_weights(shared, partial(_segmenter, model.configuration, group))
            check_order(content.get("order", ()), group, shared)
            save_checkpoint(target / f"fold_{fold}" / group.folder / CHECKPOINT, content)
        shared = unpacked / shared_weights(fold, DIFFUSION)
        if shared.exists():
            content = unpack_weights(shared, diffusion)
            save_checkpoint(target / f"fold_{fold}" / DIFFUSION / CHECKPOINT, content)


def _segmenter(configuration: ConfigurationPlan, group: LevelGroup) -> nn.Module:
    return build_group_segmenter(configuration.segmenter, len(configuration.normalization), group)


def _diffusion(configuration: ConfigurationPlan) -> nn.Module:
    return DiffusionUNet(configuration.diffusion, len(configuration.normalization))


def _packed(path: Path, build: Callable[[], nn.Module]) -> bytes:
    return pack_weights(load_checkpoint(path), build, path)


def _check_channels(model: ModelFolder) -> None:
    described = model.description.n_channels
    planned = (len(model.plan.channel_names), len(model.configuration.normalization))
    if planned != (described, described):
        reason = f"plans {planned[0]} channels and normalises {planned[1]}, dataset.json names {described}"
        raise UserError(model.path / "plans.json", reason, "use the plan that belongs to this dataset.json")


def _check_sizes(configuration: ConfigurationPlan, where: Path) -> None:
    segmenter = configuration.segmenter
    resolutions = max(len(segmenter.features_per_stage), len(configuration.diffusion.channels))
    if resolutions > MOST_RESOLUTIONS or segmenter.n_convs_per_stage > MOST_CONVOLUTIONS:
        reason = f"plans {resolutions} resolutions of {segmenter.n_convs_per_stage} convolutions"
        raise UserError(where, reason, f"allowed: {MOST_RESOLUTIONS} of {MOST_CONVOLUTIONS}")
