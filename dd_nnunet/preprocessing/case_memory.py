"""How much memory a process needs for one case, before it starts on it."""

import contextlib
import math
from collections.abc import Sequence

from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.core.errors import DDError
from dd_nnunet.core.fingerprint import CaseFingerprint
from dd_nnunet.core.plan import ConfigurationPlan, Zyx
from dd_nnunet.planning.resolution import resampled_shape
from dd_nnunet.storage.volume import read_geometry

# a worker knows numpy, scipy, SimpleITK and blosc2, but not torch: 0.23 GB once these are loaded, and up to 0.07 GB
# of scratch whatever the volume; above the peak resident memory (VmHWM of a fresh process, Linux, one thread) of
# measuring one channel of 96³ to 256³ voxels, 0.31 GB to 0.64 GB, by 4 to 19 %
WORKER_BYTES = 0.3e9
FINGERPRINT_BYTES_PER_VOXEL = 22.0
RAW_BYTES_PER_VOXEL = 24.0
PREPARED_BYTES_PER_VOXEL = 8.0
BYTES_PER_CHANNEL_VOXEL = 4.0


def bytes_to_fingerprint(shape_zyx: Zyx, n_channels: int) -> float:
    """Peak memory of measuring one case, the process itself included."""
    per_voxel = BYTES_PER_CHANNEL_VOXEL * n_channels + FINGERPRINT_BYTES_PER_VOXEL
    return WORKER_BYTES + per_voxel * math.prod(shape_zyx)


def bytes_to_preprocess(
    shape_zyx: Zyx, prepared_shape_zyx: Zyx, n_channels: int, process_bytes: float = WORKER_BYTES
) -> float:
    """Peak memory of preparing one case, the process itself included."""
    channels = BYTES_PER_CHANNEL_VOXEL * n_channels
    raw = (channels + RAW_BYTES_PER_VOXEL) * math.prod(shape_zyx)
    return process_bytes + raw + (channels + PREPARED_BYTES_PER_VOXEL) * math.prod(prepared_shape_zyx)


def largest_to_fingerprint(cases: Sequence[CaseFiles]) -> float:
    """Peak memory of measuring the largest case, by the headers of the files; bad ones are left for later."""
    largest = WORKER_BYTES
    for case in cases:
        with contextlib.suppress(DDError):
            shape = read_geometry(case.channel_files[0]).shape_zyx
            largest = max(largest, bytes_to_fingerprint(shape, len(case.channel_files)))
    return largest


def largest_to_preprocess(cases: Sequence[CaseFingerprint], configuration: ConfigurationPlan) -> float:
    """Peak memory of preparing the largest case."""
    target = configuration.spacing_zyx_mm
    return max(
        bytes_to_preprocess(
            case.shape_zyx,
            resampled_shape(
                case.crop_shape_zyx if configuration.crop else case.shape_zyx, case.spacing_zyx_mm, target
            ),
            len(case.channels),
        )
        for case in cases
    )
