"""dd_convert_synthcell and dd_convert_folder: make a raw dataset."""

import argparse
import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from dd_nnunet.commands import cli
from dd_nnunet.core.errors import SomeCasesFailedError, UserError
from dd_nnunet.core.units import counted

LOGGER = logging.getLogger(__name__)
# the keys of dataset_conversion.synthcell.VARIANTS and its sizes, which are imported only when a command runs
VARIANT_NAMES = ("regular", "irregular", "hard-noise")
FULL_SIZE, MINI_SIZE = 50, 32


def build_synthcell_parser() -> cli.StrictParser:
    """The flags of dd_convert_synthcell."""
    parser = cli.make_parser(
        "dd_convert_synthcell",
        "Make a raw dataset of synthetic cells with three nested levels and their true labels.",
    )
    add_identity(parser, "Synthcell and the variant")
    parser.add_argument("--variant", choices=VARIANT_NAMES, default="regular", help="shapes and noise")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--mini", action="store_true", help=f"volumes of {MINI_SIZE}³, for trials")
    size.add_argument(
        "--size", type=int, default=FULL_SIZE, metavar="N", help="edge of the volumes in voxels"
    )
    parser.add_argument(
        "--cases",
        type=int,
        nargs=3,
        default=(80, 20, 20),
        metavar=("TRAIN", "VAL", "TEST"),
        help="numbers of cases; TRAIN and VAL together make imagesTr, TEST makes imagesTs",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the whole dataset")
    return parser


def build_folder_parser() -> cli.StrictParser:
    """The flags of dd_convert_folder."""
    parser = cli.make_parser(
        "dd_convert_folder",
        "Make a raw dataset from a folder of NIfTI, NRRD, MHA, MHD, TIFF or MRC volumes, or of folders with DICOM "
        "series.",
    )
    parser.add_argument(
        "-i", "--input", required=True, metavar="FOLDER", help="the volumes, one file per channel"
    )
    add_identity(parser)
    parser.add_argument(
        "--channel_names",
        nargs="+",
        default=[],
        metavar="NAME",
        help="of files …_0000, …_0001, in this order; of DICOM series, one name instead of their modality",
    )
    parser.add_argument("--one_channel", action="store_true", help="every file is a case, whatever its name")
    parser.add_argument(
        "--every_series",
        action="store_true",
        help="every DICOM series is a case, also where one folder holds several",
    )
    parser.add_argument(
        "--labels", metavar="FOLDER", help="label maps called like the cases, for evaluation only"
    )
    parser.add_argument(
        "--spacing_zyx_mm",
        type=float,
        nargs=3,
        metavar=("Z", "Y", "X"),
        help="voxel size of all TIFF files in mm; default: as {case}.json beside each says, else 1",
    )
    parser.add_argument(
        "--skip_bad", action="store_true", help="leave bad cases out; exit code 3 if there are any"
    )
    return parser


def main_synthcell(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_convert_synthcell."""
    return cli.run(build_synthcell_parser(), _run_synthcell, argv)


def main_folder(argv: Sequence[str] | None = None) -> int:
    """Entry point of dd_convert_folder."""
    return cli.run(build_folder_parser(), _run_folder, argv)


def add_identity(parser: argparse.ArgumentParser, default_name: str = "") -> None:
    """The flags that say what the new dataset is called; without a default its name has to be given."""
    parser.add_argument("-d", "--dataset_id", type=int, required=True, metavar="ID", help="number, e.g. 7")
    default = f"; default: {default_name}" if default_name else ""
    parser.add_argument(
        "-n",
        "--name",
        required=not default_name,
        metavar="NAME",
        help=f"what follows DatasetXXX_{default}",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a dataset of the same number and name"
    )


@contextlib.contextmanager
def dataset_from(args: argparse.Namespace, source: Path, name: str) -> Iterator[Path]:
    """Yield the folder of a new dataset to fill from a source; on success it is there, and the next command is said.

    Raises:
        UserError: as `new_dataset`, or the source lies in the dataset to be made.
    """
    from dataset_conversion.raw_folder import dataset_name, new_dataset

    workspace = cli.workspace(args)
    full_name = dataset_name(args.dataset_id, name)
    target = workspace.own_raw_folder() / full_name
    if target.resolve() in (source.resolve(), *source.resolve().parents):
        raise UserError("-i", f"{source} lies in the dataset to be made", "choose another id or folder")
    with new_dataset(workspace, full_name, args.overwrite) as folder:
        yield folder
    LOGGER.info("%s: made; dd_plan_and_preprocess -d %d is next", target, args.dataset_id)


def shows_progress(args: argparse.Namespace) -> bool:
    """Whether a bar is wanted."""
    return not (args.no_pbar or args.quiet)


def _run_synthcell(args: argparse.Namespace) -> None:
    from dataset_conversion.raw_folder import dataset_name, new_dataset
    from dataset_conversion.synthcell_dataset import SynthcellRequest, write_synthcell

    size = MINI_SIZE if args.mini else args.size
    request = SynthcellRequest(args.variant, args.seed, size, *args.cases)
    request.check()
    default = "Synthcell" + args.variant.title().replace("-", "") + ("Mini" if args.mini else "")
    workspace = cli.workspace(args)
    full_name = dataset_name(args.dataset_id, args.name or default)
    with new_dataset(workspace, full_name, args.overwrite) as folder:
        write_synthcell(folder, request, show_progress=shows_progress(args))
    LOGGER.info(
        "%s: %d training and %s of %d³ voxels; dd_plan_and_preprocess -d %d is next",
        workspace.own_raw_folder() / full_name,
        request.n_training,
        counted(request.n_test, "test case"),
        size,
        args.dataset_id,
    )


def _run_folder(args: argparse.Namespace) -> None:
    from dataset_conversion.folder import FolderRequest, convert_folder

    request = FolderRequest(
        images=cli.input_folder(args.input, "volumes", "-i"),
        labels=cli.input_folder(args.labels, "label maps", "--labels") if args.labels else None,
        channel_names=tuple(args.channel_names),
        tiff_spacing_zyx_mm=tuple(args.spacing_zyx_mm) if args.spacing_zyx_mm else None,
        one_channel=args.one_channel,
        every_series=args.every_series,
        skip_bad=args.skip_bad,
    )
    with dataset_from(args, request.images, args.name) as folder:
        left_out = convert_folder(request, folder, show_progress=shows_progress(args))
    for error in left_out:
        for line in error.lines:
            LOGGER.warning("left out: %s", line)
    if left_out:
        raise SomeCasesFailedError(
            request.images,
            f"{counted(len(left_out), 'case', ('was', 'were'))} left out",
            "conversion.json of the dataset lists them",
        )
