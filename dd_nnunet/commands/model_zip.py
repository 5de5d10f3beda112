"""dd_export_model_to_zip and dd_install_model_from_zip: a trained model in one file, tensors and JSON only."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dd_nnunet import __version__
from dd_nnunet.commands import cli
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.plan_names import plans_flag

if TYPE_CHECKING:
    from dd_nnunet.storage.model_archive import ModelArchive
    from dd_nnunet.storage.workspace import TrainedFolders

LOGGER = logging.getLogger(__name__)


def build_export_parser() -> cli.StrictParser:
    """The flags of dd_export_model_to_zip."""
    parser = cli.make_parser(
        "dd_export_model_to_zip",
        "Write a trained model as one zip file that dd_install_model_from_zip takes elsewhere: plan, dataset.json, "
        "fingerprint and the segmenters. The names of the cases are in it, no volume is.",
    )
    parser.add_argument(
        "-d", "--dataset", required=True, metavar="ID", help="dataset the model was trained on"
    )
    cli.add_plan_flags(parser, "needed where several are trained")
    parser.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="default: all that are finished")
    parser.add_argument(
        "-l", "--level", type=int, nargs="+", default=(), metavar="N", help="levels; default: all finished"
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the zip file to write")
    parser.add_argument("--with_diffusion", action="store_true", help="the folds' diffusion models too")
    parser.add_argument(
        "--with_crossval", action="store_true", help="the scores over all folds too, case by case"
    )
    return parser


def build_install_parser() -> cli.StrictParser:
    """The flags of dd_install_model_from_zip."""
    parser = cli.make_parser(
        "dd_install_model_from_zip",
        "Install a model that dd_export_model_to_zip wrote into dd_results. It is checked first; nothing in it "
        "is ever run.",
    )
    parser.add_argument("file", metavar="FILE", help="the zip file")
    parser.add_argument(
        "--force", action="store_true", help="move a model that is there already aside, to ….bak_DATE"
    )
    return parser


def main_export(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_export_model_to_zip."""
    return cli.run(build_export_parser(), _export, argv)


def main_install(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_install_model_from_zip."""
    return cli.run(build_install_parser(), _install, argv)


def _export(args: argparse.Namespace) -> None:
    from dd_nnunet.commands.predict import found_folds
    from dd_nnunet.prediction.model_exchange import crossval_files, diffusion_files, model_files
    from dd_nnunet.prediction.model_folder import ModelFolder
    from dd_nnunet.storage.atomic import check_output_folder
    from dd_nnunet.storage.model_archive import ModelManifest, write_archive

    output = Path(args.output)
    if output.exists():
        raise UserError(output, "exists already", "remove it, or give another name with -o")
    check_output_folder(output.parent)
    folders = cli.workspace(args).trained(args.dataset)
    configuration = _only_configuration(args, folders)
    remedy = cli.no_model_remedy(args, configuration)
    model = ModelFolder.open(folders.model(args.plans_name, configuration), remedy)
    folds = tuple(dict.fromkeys(args.folds or found_folds(model, args.level)))
    levels = model.levels(folds, tuple(sorted(set(args.level))))
    files = model_files(model, folds, levels)
    if args.with_diffusion:
        files |= diffusion_files(model, folds)
    if args.with_crossval:
        files |= crossval_files(model)
    groups = model.configuration.groups_of(levels)
    nested = any(group.nested for group in groups)
    if nested:
        # one network has them all
        levels = groups[0].levels
    numbers = tuple(level.level for level in levels)
    manifest = ModelManifest(
        folders.name, args.plans_name, configuration, folds, numbers, __version__, nested=nested
    )
    write_archive(output, manifest, files)
    LOGGER.info("folds %s, levels %s: %.1f MB written to %s", " ".join(folds),
                " ".join(map(str, numbers)), output.stat().st_size / 1e6, output)  # fmt: skip


def _only_configuration(args: argparse.Namespace, folders: "TrainedFolders") -> str:
    """The one asked for, or the only one that is trained; a file holds one model."""
    if args.configuration:
        return str(args.configuration)
    trained = tuple(folders.models(args.plans_name))
    if len(trained) > 1:
        raise UserError(
            "-c", f"is needed: {' and '.join(trained)} are trained", "give one; a file holds one model"
        )
    return trained[0] if trained else cli.FULL_RESOLUTION


def _install(args: argparse.Namespace) -> None:
    from dd_nnunet.storage.atomic import place_folder
    from dd_nnunet.storage.model_archive import open_archive, staging_folder
    from dd_nnunet.storage.run_folder import move_aside

    results = cli.workspace(args).results_folder()
    with open_archive(Path(args.file)) as archive:
        manifest = archive.manifest
        target = results / manifest.folder
        with staging_folder(target) as staging:
            if target.exists() and not args.force:
                remedy = "--force keeps it as ….bak_DATE and installs this one"
                raise UserError(target, "a model is there already", remedy)
            made = _made(archive, staging / target.name)
            if moved := move_aside(target):
                LOGGER.info("moved the model that was there to %s", moved)
            place_folder(made, target)
    LOGGER.info("installed in %s", target)
    plans = plans_flag(manifest.plans_name)
    name, configuration = manifest.dataset_name, manifest.configuration
    LOGGER.info("predict with: dd_predict -d %s -c %s%s -i IN -o OUT", name, configuration, plans)


def _made(archive: "ModelArchive", target: Path) -> Path:
    """The model folder made of an archive, for the time being at `target`."""
    from dd_nnunet.prediction.model_exchange import install_model

    unpacked = target.with_name("unpacked")
    archive.unpack(unpacked)
    try:
        install_model(unpacked, target, archive.manifest)
    except UserError as error:
        # the file that it names was a copy and will be gone
        inside = Path(error.where).as_posix().removeprefix(f"{unpacked.as_posix()}/")
        inside = inside.removeprefix(f"{target.as_posix()}/")
        raise UserError(f"{archive.path}, {inside}", error.reason, error.remedy) from None
    return target
