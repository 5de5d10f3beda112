"""Fingerprints made by hand."""

import numpy as np

from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.core.fingerprint import (
    CaseFingerprint,
    ChannelFingerprint,
    DatasetFingerprint,
    SplitFingerprint,
    SubObjectFingerprint,
)
from dd_nnunet.planning.fingerprinting import merge_diameters

DIAMETERS_MM = (40.0, 10.0, 5.0)
# the volume in two, then the second part in two, and none of these
SPLITS = (
    SplitFingerprint(level=1, part=0, share=1.0, children=2, gain=0.63, chance=0.01),
    SplitFingerprint(level=2, part=0, share=0.7, children=1, gain=-0.02, chance=-0.01),
    SplitFingerprint(level=2, part=1, share=0.3, children=2, gain=0.12, chance=-0.01),
    SplitFingerprint(level=3, part=2, share=0.02, children=1, gain=-0.03, chance=-0.02),
)


def make_channel(noise_sd=0.078, percentiles=(0.0, 0.1, 0.5, 0.9, 1.0)):
    return ChannelFingerprint(
        *percentiles, 0.5, 0.2, noise_sd,
        noise_slope=-1.0, whole_noise_sd=1.2 * noise_sd, spectrum_slope=-1.5,
        snr=2.5, max_over_p99_5=1.2, n_modes=2, mode_separation=4.0,
    )  # fmt: skip


def make_case(number=0, shape=(50, 50, 50), spacing=(1.0, 1.0, 1.0), **changes):
    values = dict(
        case_id=f"case_{number:03d}",
        shape_zyx=tuple(shape),
        spacing_zyx_mm=tuple(float(s) for s in spacing),
        orientation="LPS",
        source_dtypes=("float32",),
        crop_start_zyx=(0, 0, 0),
        crop_stop_zyx=tuple(shape),
        channels=(make_channel(),),
        foreground_share=1.0,
        diameters_mm=DIAMETERS_MM,
        diameters_voxels=DIAMETERS_MM,
        sieve_mm=(2.0, 8.0, 25.0),
        opening_spectrum=(1.0, 0.7, 0.1),
        closing_spectrum=(1.0, 0.9, 0.8),
        bright_diameter_mm=10.0,
        dark_diameter_mm=30.0,
        mirror_correlation_zyx=(0.5, 0.5, 0.5),
        constant=False,
        splits=SPLITS,
        sub_objects=SubObjectFingerprint(0.06, (0.0, 0.002, 0.004, 0.01, 0.012)),
    )
    return CaseFingerprint(**(values | changes))


def make_fingerprint(shapes, spacings, diameters_mm=DIAMETERS_MM, noise_sd=0.078, constant=(), channels=None):
    channels = channels or (make_channel(noise_sd),)
    pairs = enumerate(zip(shapes, spacings, strict=True))
    cases = tuple(
        make_case(
            number,
            shape,
            spacing,
            channels=channels,
            diameters_mm=diameters_mm,
            constant=number in constant,
        )
        for number, (shape, spacing) in pairs
    )
    shape = np.median(shapes, axis=0)
    spacing = np.median(spacings, axis=0)
    return DatasetFingerprint(
        cases=cases,
        median_crop_shape_zyx=tuple(int(n) for n in shape),
        median_spacing_zyx_mm=tuple(float(s) for s in spacing),
        anisotropy=float(max(spacing) / min(spacing)),
        noise_sd=noise_sd,
        noise_slope=-1.0,
        snr=2.5,
        diameters_mm=merge_diameters([diameters_mm] * len(cases)),
        warnings=(),
    )


def make_description(channels=("MRI",), **more):
    names = {str(i): name for i, name in enumerate(channels)}
    return describe_dataset({"channel_names": names, "file_ending": ".nii.gz", **more}, "dataset.json")
