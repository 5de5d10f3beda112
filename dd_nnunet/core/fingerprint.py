"""What a dataset looks like, measured without labels."""

from dataclasses import dataclass

from dd_nnunet.core.plan import STRICT, ReadingPlan

SCHEMA_VERSION = 5


@dataclass(frozen=True)
class ChannelFingerprint:
    """Intensities of one channel inside the crop.

    Args:
        percentile_00_5: raw intensity below which 0.5 % of the foreground voxels lie; any number (fingerprinting.py).
        percentile_05: the same for 5 %; never below the one before (fingerprinting.py).
        percentile_50: the same for 50 %, the median; never below the one before (fingerprinting.py).
        percentile_95: the same for 95 %; never below the one before (fingerprinting.py).
        percentile_99_5: the same for 99.5 %; never below the one before (fingerprinting.py).
        mean: of the raw intensities of the foreground; any number (fingerprinting.py).
        sd: standard deviation of them, in raw intensities; at least 0 (fingerprinting.py).
        noise_sd: robust standard deviation of the noise of the voxel scale, in units of the range from percentile 0.5
            to 99.5; at least 0, which also stands for constant volumes (noise.py; Donoho & Johnstone 1994).
        noise_slope: exponent of the noise's power spectrum: 0 white, −1 pink, below −3 smooth structure instead of
            noise; in [−8,1], 0 where an axis has under 4 voxels (noise.py).
        snr: standard deviation of the signal over that of all of the noise; in [0,1000], 1000 where no noise is seen
            (spectrum.py).
        max_over_p99_5: distance of the largest intensity from the median over that of the 99.5th percentile;
            at least 1, 1 = no outliers (fingerprinting.py).
        n_modes: peaks of the distribution of the smoothed intensities; at least 1 (modes.py).
        mode_separation: Ashman's D of the two largest of them; in [0,100], distinct from 2 on, 0 with one peak
            (modes.py; Ashman, Bird & Zepf 1994).
        whole_noise_sd: standard deviation of all of the noise, coarser than a voxel too, in the unit of noise_sd;
            never below it (noise.py).
        spectrum_slope: exponent of the whole volume's radial power spectrum between 1/8 and 1/2 cycles per voxel,
            objects included; any number, 0 where an axis has under 8 voxels (spectrum.py).
    """

    percentile_00_5: float
    percentile_05: float
    percentile_50: float
    percentile_95: float
    percentile_99_5: float
    mean: float
    sd: float
    noise_sd: float
    noise_slope: float
    snr: float
    max_over_p99_5: float
    n_modes: int
    mode_separation: float
    whole_noise_sd: float = 0.0
    spectrum_slope: float = 0.0

    @property
    def varies(self) -> bool:
        """Whether anything is left of the channel once it is scaled by its percentiles."""
        return self.percentile_00_5 < self.percentile_99_5


@dataclass(frozen=True)
class SplitFingerprint:
    """A part of a volume, and whether it falls into kinds of intensity.

    Args:
        level: the level that the split would make; 1 to 3, 1 = coarsest (split_gains.py).
        part: number of the part at the level before (0 = owns most border voxels, the others by falling size); 0 at
            level 1, where the whole crop is one part; at least 0 (split_gains.py).
        share: of the crop's voxels; in (0,1] (split_gains.py).
        children: kinds it falls into; 1 to 3, 1 = it stays whole (split_gains.py).
        gain: nats per voxel that a code of the kinds is shorter than that of one kind; any number, below 0 where the
            kinds explain nothing (split_gains.py; Kittler & Illingworth 1986).
        chance: the largest gain among 19 random textures of the same spectrum (phase-randomised surrogates), in nats
            per voxel; any number (surrogates.py).
    """

    level: int
    part: int
    share: float
    children: int
    gain: float
    chance: float


@dataclass(frozen=True)
class SubObjectFingerprint:
    """How much of the object (all that is not background) is in compact groups of unusual voxels.

    Args:
        share: of the object's voxels, its rim left out; in [0,1] (object_fingerprint.py).
        by_chance: the same in up to 5 random textures of the same spectrum (phase-randomised surrogates); each in
            [0,1] (object_fingerprint.py, surrogates.py).
        object_contrast: of objects as 3, 4 and 5 parts, the mean step of the denoised volume across outlines over
            that everywhere; at least 0 (object_fingerprint.py, contrast.py).
        class_contrast: the same of as many kinds of intensity; at least 0 (object_fingerprint.py, contrast.py).
    """

    share: float
    by_chance: tuple[float, ...]
    object_contrast: tuple[float, ...] = ()
    class_contrast: tuple[float, ...] = ()


@dataclass(frozen=True)
class CaseFingerprint:
    """One case.

    Args:
        case_id: the case, as in its files' names.
        shape_zyx: of the raw volume, in voxels; at least 1 (volume.py).
        spacing_zyx_mm: of the raw volume, in mm; above 0 (volume.py).
        orientation: towards which side of the body the axes x, y, z of the file run, e.g. "LPS" (left, posterior,
            superior); the nearest sides where the volume is oblique; empty where its files state none
            (fingerprinting.py).
        source_dtypes: number format of each channel's file, e.g. "int16" (volume.py).
        crop_start_zyx: first voxel of the box, in the raw array, around what is not background; at least 0
            (foreground.py).
        crop_stop_zyx: one past the last voxel of that box; at most the shape (foreground.py).
        channels: one per channel, in channel order.
        foreground_share: of the raw volume's voxels that are not background; in [0,1] (foreground.py).
        diameters_mm: characteristic object diameters in mm, at most 3, largest first; of several channels the medians
            over those that have one; empty where no object stands out (granulometry.py).
        bright_diameter_mm: typical thickness of what is bright, in mm (openings); the thinner of bright and dark are
            the objects; at least 0, 0 = nothing is bright (granulometry.py; Matheron 1975, Serra 1982).
        dark_diameter_mm: typical thickness of what is dark, in mm (closings); at least 0, 0 = nothing is dark
            (granulometry.py).
        mirror_correlation_zyx: between the crop and its mirror image, per axis, mean over the channels that vary; in
            [−1,1], 1 = symmetric (symmetry.py).
        constant: no channel varies; such a case is left out of training and of all medians (fingerprinting.py).
        splits: of the channel that falls into most parts, or gains most by it: every part that was large enough to
            be tried, level by level (split_gains.py).
        sub_objects: of the same channel; null where the object is too small to be looked into
            (object_fingerprint.py).
        diameters_voxels: diameters_mm in edges of a voxel, which is the cubic root of its volume; above 0
            (granulometry.py).
        sieve_mm: diameters of the balls of the two spectra, in mm, not falling; above 0 (granulometry.py).
        opening_spectrum: share of what is bright that openings with each of these balls keep; in [0,1], falling; 0
            where nothing is bright (granulometry.py; Matheron 1975, Serra 1982).
        closing_spectrum: the same of what is dark, by closings; in [0,1], falling (granulometry.py).
    """

    case_id: str
    shape_zyx: tuple[int, int, int]
    spacing_zyx_mm: tuple[float, float, float]
    orientation: str
    source_dtypes: tuple[str, ...]
    crop_start_zyx: tuple[int, int, int]
    crop_stop_zyx: tuple[int, int, int]
    channels: tuple[ChannelFingerprint, ...]
    foreground_share: float
    diameters_mm: tuple[float, ...]
    bright_diameter_mm: float
    dark_diameter_mm: float
    mirror_correlation_zyx: tuple[float, float, float]
    constant: bool
    splits: tuple[SplitFingerprint, ...] = ()
    sub_objects: SubObjectFingerprint | None = None
    diameters_voxels: tuple[float, ...] = ()
    sieve_mm: tuple[float, ...] = ()
    opening_spectrum: tuple[float, ...] = ()
    closing_spectrum: tuple[float, ...] = ()

    @property
    def left_right_axis(self) -> int | None:
        """The array axis, 0 = z to 2 = x, along which left and right lie; None where no single one is stated."""
        found = [2 - number for number, side in enumerate(self.orientation) if side in "LR"]
        return found[0] if len(found) == 1 else None

    @property
    def left_right_correlation(self) -> float | None:
        """Between the crop and its image with left and right exchanged, in [−1,1]; None where unknown."""
        return None if self.left_right_axis is None else self.mirror_correlation_zyx[self.left_right_axis]

    @property
    def crop_shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the crop."""
        (z0, y0, x0), (z1, y1, x1) = self.crop_start_zyx, self.crop_stop_zyx
        return (z1 - z0, y1 - y0, x1 - x0)


@dataclass(frozen=True)
class DatasetFingerprint:
    """All cases and what they have in common (medians over the cases that are not constant).

    Args:
        cases: in the order of their ids, constant ones included.
        median_crop_shape_zyx: per axis, in voxels at each case's own spacing; at least 1 (fingerprinting.py).
        median_spacing_zyx_mm: per axis, in mm; above 0 (fingerprinting.py).
        anisotropy: largest over smallest of the median spacings; at least 1 (fingerprinting.py).
        noise_sd: median over cases and channels, in units of the intensity range; at least 0 (noise.py).
        noise_slope: median over cases and channels; in [−8,1] (noise.py).
        snr: median over cases and channels; in [0,1000] (spectrum.py).
        diameters_mm: characteristic object diameters of the dataset in mm, at most 3, largest first; medians over the
            cases that have one, left out where fewer than half do (fingerprinting.py, granulometry.py).
        warnings: what was odd, in words (volume.py, fingerprinting.py).
        reading: how the raw volumes were read; the plan takes it over.
        schema_version: of this file.
    """

    cases: tuple[CaseFingerprint, ...]
    median_crop_shape_zyx: tuple[int, int, int]
    median_spacing_zyx_mm: tuple[float, float, float]
    anisotropy: float
    noise_sd: float
    noise_slope: float
    snr: float
    diameters_mm: tuple[float, ...]
    warnings: tuple[str, ...]
    reading: ReadingPlan = STRICT
    schema_version: int = SCHEMA_VERSION
