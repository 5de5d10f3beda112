"""Where the paper's tables are worked on: folders, commands, results, and the raw data sets."""

from dataclasses import dataclass
from pathlib import Path

from measuring import RESULTS
from paper_data import EFFORTS, Cells, Effort, Real
from running import Commands

from dataset_conversion.raw_folder import new_dataset, write_given_splits
from dataset_conversion.synthcell_dataset import SynthcellRequest, write_synthcell
from dd_nnunet.core.splits import Fold
from dd_nnunet.storage.workspace import DatasetFolders, Workspace

ROWS = RESULTS / "paper_tables"
# no other volume is drawn with it: seeds 0, 1000, 2000 and those of the other benchmarks chose something
DATA_SEED = 90210


@dataclass(frozen=True)
class Bench:
    """Where one effort is worked on.

    Args:
        work: raw, prepared and trained data go there.
        name: of the effort.
        real: folder with the real data sets, or None.
        rows: the results.
    """

    work: Path
    name: str
    real: Path | None = None
    rows: Path = ROWS

    @property
    def effort(self) -> Effort:
        """How much is spent."""
        return EFFORTS[self.name]

    def commands(self, seed: int) -> Commands:
        """Runs commands whose results belong to a seed."""
        results = self.work / f"seed_{seed}"
        workspace = Workspace(self.work / "raw", self.work / "preprocessed", results)
        return Commands(workspace, self.work / "log.txt", self.work / "times.jsonl")

    def folders(self, data: Cells | Real, seed: int) -> DatasetFolders:
        """Of a data set and a seed."""
        return self.commands(seed).workspace.dataset(data.folder)

    def row(self, data: Cells | Real, line: str) -> Path:
        """The file of a line."""
        return self.rows / self.name / data.name / f"{line}.json"


def make_data(bench: Bench, data: Cells | Real) -> bool:
    """Draw or link a data set unless it is there; whether it is there now."""
    workspace = bench.commands(0).workspace
    assert workspace.raw is not None
    target = workspace.raw / data.folder
    if target.exists():
        return True
    if isinstance(data, Real):
        source = None if bench.real is None else bench.real / data.folder
        if source is None or not source.is_dir():
            return False
        workspace.raw.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source.resolve(), target_is_directory=True)
        return True
    n_cases = data.n_train + data.n_test
    case_ids = tuple(f"cell_{index:03d}" for index in range(n_cases))
    with new_dataset(workspace, data.folder, overwrite=False) as folder:
        write_synthcell(
            folder, SynthcellRequest(data.variant, DATA_SEED, data.edge, n_cases, n_val=0, n_test=0)
        )
        write_given_splits(folder, [Fold(case_ids[: data.n_train], case_ids[data.n_train :])])
    return True
