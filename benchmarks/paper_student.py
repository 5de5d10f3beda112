"""A student learns what its teacher says of the training cases, instead of the rules that the teacher learnt from."""

import shutil
from pathlib import Path

import numpy as np

from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.prediction.predict_case import FoldEnsemble, PredictionSettings
from dd_nnunet.preprocessing.pad import pad_to_patch
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.case_store import read_array, read_case, write_array
from dd_nnunet.training.pseudo_labels import PartLabels


def teach(teacher: Path, student: Path, prepared: Path, fold: str, train: list[str]) -> None:
    """Lay the student's diffusion model and features ready, with the teacher's parts in place of the rules'.

    Does nothing where the student has them already. All levels have to start from objects.

    Args:
        teacher: model folder, trained.
        student: model folder; what training of its levels needs is laid into its fold.
        prepared: folder of the prepared cases, the same for both.
        fold: of both.
        train: case ids.
    """
    target = student / f"fold_{fold}"
    if (target / "features").exists():
        return
    shutil.copytree(teacher / f"fold_{fold}" / "diffusion", target / "diffusion", dirs_exist_ok=True)
    draft = target / "features.draft"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(teacher / f"fold_{fold}" / "features", draft)
    model = ModelFolder.open(teacher)
    changed = []
    for case_id in train:
        path = draft / f"{case_id}_objects.b2nd"
        rules, said = read_array(path), parts_of(model, fold, prepared, case_id)
        changed.append([float(np.mean(a != b)) for a, b in zip(rules, said, strict=True)])
        path.unlink()
        write_array(path, said)
    draft.rename(target / "features")
    shares = ", ".join(f"{100 * share:.2f} %" for share in np.mean(changed, axis=0))
    print(f"{student}: labels changed by the teacher, level by level: {shares} of the voxels")


def parts_of(model: ModelFolder, fold: str, prepared: Path, case_id: str) -> PartLabels:
    """Parts [level,Z,Y,X] after the second pass, padded to a patch as the training labels are: by mirroring."""
    planned = model.configuration
    (group,) = planned.groups
    runtime = choose_runtime("auto", planned.precision)
    ensemble = FoldEnsemble(
        [model.segmenter(fold, group, runtime)], PredictionSettings(planned, runtime), group
    )
    case = read_case(prepared, case_id)
    slices = ensemble.after_second_look(ensemble.slices(case), case)
    per_slice = [np.stack(list(ensemble.tree.decide(probabilities))) for probabilities in slices]
    parts = np.stack(per_slice, axis=1).astype(np.uint8)
    padded, box = pad_to_patch(case.array, planned.patch_size_zyx, planned.volume_multiple_zyx)
    beyond = [(b.start, n - b.stop) for b, n in zip(box, padded.shape[1:], strict=True)]
    return np.pad(parts, [(0, 0), *beyond], mode="symmetric")


def train_cases(splits_json: Path, fold: str) -> list[str]:
    """Case ids that a fold is learnt from."""
    found: list[str] = read_json(splits_json)[int(fold)]["train"]
    return found
