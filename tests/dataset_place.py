"""Where a dataset lies: its folders, and the flags that name them to a command."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from dd_nnunet.storage.workspace import DatasetFolders, Workspace

MODEL_FOLDER = "ddTrainer__ddPlans__3d_fullres"


@dataclass(frozen=True)
class DatasetPlace:
    name: str
    workspace: Workspace

    @classmethod
    def below(cls, root: Path, name: str) -> Self:
        return cls(name, Workspace(root / "raw", root / "preprocessed", root / "results"))

    def with_results(self, results: Path) -> Self:
        """The same dataset, whose results go elsewhere."""
        return replace(self, workspace=replace(self.workspace, results=results))

    @property
    def folders(self) -> DatasetFolders:
        return self.workspace.dataset(self.name)

    @property
    def root(self) -> Path:
        return self.workspace.raw_folder().parent

    @property
    def raw(self) -> Path:
        return self.workspace.raw_folder() / self.name

    @property
    def preprocessed(self) -> Path:
        return self.workspace.preprocessed_folder() / self.name

    @property
    def model(self) -> Path:
        return self.workspace.results_folder() / self.name / MODEL_FOLDER

    @property
    def flags(self) -> list[str]:
        w = self.workspace
        folders = {"--raw": w.raw, "--preprocessed": w.preprocessed, "--results": w.results}
        return [*(str(item) for pair in folders.items() for item in pair), "--no_pbar"]
