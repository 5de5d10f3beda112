"""Raw datasets made of arrays, and dd_plan_and_preprocess run on them."""

from pathlib import Path

from dataset_place import DatasetPlace
from small_volumes import ONE_MM, write_volume

from dd_nnunet.commands import plan_and_preprocess
from dd_nnunet.storage.atomic import read_json, write_json

NAME = "Dataset005_Faults"


class Faulty(DatasetPlace):
    @property
    def written(self):
        """Names of the files in the preprocessed folder, but for its lock and what was measured of sound cases."""
        files = (p for p in self.preprocessed.rglob("*") if p.is_file() and p.name != ".lock")
        return sorted(p.name for p in files if p.parent.name != "measured_cases")

    @property
    def prepared_cases(self):
        return sorted(path.stem for path in (self.preprocessed / "ddPlans_3d_fullres").glob("*.b2nd"))

    def run(self, *more):
        return self.run_step(plan_and_preprocess.main, "-np", "0", "--preset", "fast", *more)

    def run_step(self, main, *more):
        return main(["-d", "5", *self.flags, *more])

    def json(self, name):
        return read_json(self.preprocessed / name)


def make_faulty(root, volumes, spacings_zyx=None, description=None):
    """Write arrays [Z,Y,X] by case id, at 1 mm or the spacing given for a case."""
    dataset = Faulty.below(Path(root), NAME)
    described = {"channel_names": {"0": "light"}, "numTraining": len(volumes), "file_ending": ".nii.gz"}
    write_json(dataset.raw / "dataset.json", described | (description or {}))
    for case_id, array in volumes.items():
        spacing = (spacings_zyx or {}).get(case_id, ONE_MM)
        write_volume(dataset.raw / "imagesTr" / f"{case_id}_0000.nii.gz", array, spacing)
    return dataset
