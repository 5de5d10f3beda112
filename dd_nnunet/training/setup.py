"""What a training needs beside its plan."""

from dataclasses import dataclass, field

from dd_nnunet.core.plan import ConfigurationPlan
from dd_nnunet.core.splits import Fold
from dd_nnunet.networks.device import Runtime
from dd_nnunet.training.case_reader import CaseReader
from dd_nnunet.training.stopping import StopRequest

SAVE_SECONDS = 600.0


@dataclass(frozen=True)
class TrainingSetup:
    """How one fold is trained.

    Args:
        configuration: the plan of this configuration.
        fold: training and validation cases (their labels are never opened).
        reader: gives padded prepared cases.
        runtime: device and number format.
        seed: decides weights, batches and noise.
        n_workers: background processes for batches; 0 = none.
        progress_bar: show one.
        data_sha256: changes with the prepared training cases.
        stop: asked between two steps of work whether to end early.
        save_seconds: the longest that training goes on without saving its state.
    """

    configuration: ConfigurationPlan
    fold: Fold
    reader: CaseReader
    runtime: Runtime
    seed: int
    n_workers: int
    progress_bar: bool
    data_sha256: str = ""
    stop: StopRequest = field(default_factory=StopRequest)
    save_seconds: float = SAVE_SECONDS

    @property
    def n_channels(self) -> int:
        """Channels of the volumes."""
        return len(self.configuration.normalization)
