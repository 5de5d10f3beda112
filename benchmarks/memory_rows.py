"""The plans that the memory of a training step is measured of, and the planner's estimates of them."""

from dataclasses import dataclass, fields
from typing import Any

from dd_nnunet.core.plan import (
    ConfigurationPlan,
    DiffusionPlan,
    FeaturePlan,
    LevelPlan,
    NormalizationPlan,
    SegmenterPlan,
    Zyx,
)
from dd_nnunet.core.units import GB
from dd_nnunet.planning.memory import UNetShape, diffusion_training_bytes, segmenter_training_bytes
from dd_nnunet.planning.networks import MAX_DIFFUSION_RESOLUTIONS, N_CONVS
from dd_nnunet.planning.topology import plan_topology

ITERATIONS = 2
STEPS = ("diffusion_gb", "segmenter_gb")


@dataclass(frozen=True)
class Row:
    """One plan: patch, spacing, widths, batch sizes, channels of the volume, parts and number format.

    Args:
        n_parts: of a single level.
        nested: of several levels in one network, instead.
    """

    patch_zyx: Zyx
    diffusion_width: int
    segmenter_width: int
    diffusion_batch: int = 2
    segmenter_batch: int = 2
    n_channels: int = 1
    n_parts: int = 4
    precision: str = "bfloat16"
    spacing_zyx_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    nested: tuple[int, ...] = ()

    @property
    def levels(self) -> tuple[int, ...]:
        """Parts per level."""
        return self.nested or (self.n_parts,)


def cube(edge: int, *values: int, **more: Any) -> Row:
    """A row with a cubic patch."""
    return Row((edge, edge, edge), *values, **more)


ROWS = (
    cube(16, 16, 16, 4, 2),
    cube(16, 64, 32, 4, 2, precision="float32"),
    cube(24, 32, 32, 4, 4),
    cube(32, 16, 16, 4, 2),
    cube(32, 64, 32, 2, 2, n_parts=8),
    cube(32, 16, 16, 4, 2, precision="float32"),
    cube(40, 32, 32, 2, 2, n_channels=2),
    cube(48, 16, 16, 1, 2, n_parts=8),
    cube(48, 32, 32, 2, 2, precision="float32"),
    Row((16, 64, 64), 16, 16, 2, 2, spacing_zyx_mm=(4.0, 1.0, 1.0)),
    Row((72, 40, 48), 16, 16, 1, 2, n_parts=8),
    cube(64, 32, 32, 1, 2),
    cube(64, 16, 16, 2, 2, n_channels=4, precision="float32"),
    cube(80, 16, 16, 2, 2),
    cube(96, 16, 16, 1, 1, n_parts=8),
    cube(96, 32, 32, 1, 1),
    cube(32, 16, 16, 4, 2, precision="float32", nested=(2, 4, 8)),
    cube(56, 16, 16, 2, 1, precision="float32", nested=(2, 4, 8)),
    cube(64, 32, 32, 1, 2, precision="float32", nested=(2, 4, 8)),
)


def configuration_of(row: Row) -> ConfigurationPlan:
    """The row as a plan, its topology by the planner's rule."""
    topology = plan_topology(row.spacing_zyx_mm, row.patch_zyx)
    n = len(topology.kernel_sizes_zyx)
    n_diffusion = min(MAX_DIFFUSION_RESOLUTIONS, n)
    return ConfigurationPlan(
        spacing_zyx_mm=row.spacing_zyx_mm,
        median_shape_zyx=row.patch_zyx,
        patch_size_zyx=topology.patch_size_zyx,
        normalization=(NormalizationPlan("percentile", 0.5, 99.5),) * row.n_channels,
        precision=row.precision,  # type: ignore[arg-type]
        diffusion=DiffusionPlan(
            tuple(row.diffusion_width * 2**i for i in range(n_diffusion)),
            topology.strides_zyx[: n_diffusion - 1], topology.kernel_sizes_zyx[:n_diffusion],
            250, row.diffusion_batch, ITERATIONS, 1e-4, 0.99,
        ),
        features=FeaturePlan((50,), 1, "standardise", 32, "denoised"),
        segmenter=SegmenterPlan(
            tuple(min(320, row.segmenter_width * 2**i) for i in range(n)), ((1, 1, 1), *topology.strides_zyx),
            topology.kernel_sizes_zyx, N_CONVS, row.segmenter_batch, 2, ITERATIONS, 1, 1e-3, 1.0, 1.0, 1.0,
            True, (0.9, 1.1), 1.0, nested=bool(row.nested),
        ),
        levels=tuple(
            LevelPlan(number, n_parts, (min(2, n_diffusion),))
            for number, n_parts in enumerate(row.levels, start=1)
        ),
        gpu_memory_target_gb=1e3,
        estimated_gpu_memory_gb=0.0,
    )  # fmt: skip


def predicted_gb(row: Row, configuration: ConfigurationPlan, bytes_per_value: int) -> tuple[float, float]:
    """The planner's estimates of the diffusion step and of the segmenter step."""
    patch, diffusion, segmenter = (
        configuration.patch_size_zyx, configuration.diffusion, configuration.segmenter,
    )  # fmt: skip
    first = UNetShape(
        patch, diffusion.channels, diffusion.strides_zyx, diffusion.kernel_sizes_zyx, row.n_channels
    )
    second = UNetShape(
        patch,
        segmenter.features_per_stage,
        segmenter.strides_zyx[1:],
        segmenter.kernel_sizes_zyx,
        row.n_channels,
    )
    return (
        diffusion_training_bytes(first, row.diffusion_batch, bytes_per_value) / GB,
        segmenter_training_bytes(
            second, N_CONVS, sum(row.levels), row.segmenter_batch, bytes_per_value, bool(row.nested)
        )
        / GB,
    )


def estimated(kept: dict[str, Any]) -> dict[str, Any]:
    """A measured row with the estimates of today in place of those of its day."""
    names = {field.name for field in fields(Row)}
    plain = {
        key: tuple(value) if isinstance(value, list) else value for key, value in kept.items() if key in names
    }
    row = Row(**plain)
    predicted = predicted_gb(row, configuration_of(row), 2 if kept["ran_in"] == "bfloat16" else 4)
    measured = [kept[step]["measured"] for step in STEPS]
    now = {
        step: {"predicted": ours, "measured": theirs, "ratio": ours / theirs}
        for step, ours, theirs in zip(STEPS, predicted, measured, strict=True)
    }
    return {**kept, **now}
