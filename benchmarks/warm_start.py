"""What the two rules of the warm start are worth: k-means parts of a trained fold's validation cases, scored.

    python benchmarks/warm_start.py --root demo -d 999    # after `make demo`; writes results/warm_start.json

The rules are switched off one by one: centres from all voxels instead of calm ones, and no background first.
Labels are read here, for scoring only; nothing that dd_train does depends on this script.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from measuring import machine, write_result

from dd_nnunet.core.plan import ConfigurationPlan, Plan
from dd_nnunet.evaluation.matching import count_overlap, hsu_dice, match_parts, strict_dice
from dd_nnunet.networks.decoder_features import DecoderFeatures
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.storage.atomic import read_record
from dd_nnunet.storage.raw_dataset import load_description
from dd_nnunet.storage.splits import read_splits
from dd_nnunet.storage.volume import read_label_map
from dd_nnunet.storage.workspace import DatasetFolders, Workspace
from dd_nnunet.training import case_points, pseudo_labels
from dd_nnunet.training.case_reader import CaseReader
from dd_nnunet.training.pretrain_diffusion import load_diffusion
from dd_nnunet.training.pseudo_labels import SAMPLE_CASES, WarmStart

VARIANTS = {  # share of calm voxels, border share that makes a background (above 1: never)
    "all voxels, no background first": (1.0, 2.0),
    "calm voxels only": (case_points.CALM_SHARE, 2.0),
    "background first": (1.0, pseudo_labels.BACKGROUND_BORDER_SHARE),
    "both (dd_train)": (case_points.CALM_SHARE, pseudo_labels.BACKGROUND_BORDER_SHARE),
}


class Targets:
    """Denoised copies of prepared cases, as dd_train computes them."""

    def __init__(self, folders: DatasetFolders, plan: ConfigurationPlan, checkpoint: Path) -> None:
        self.plan = plan
        self.reader = CaseReader(folders.prepared("ddPlans", "3d_fullres"), plan)
        runtime = choose_runtime("auto", plan.precision)
        network = load_diffusion(plan, len(plan.normalization), checkpoint, runtime)
        self.features = DecoderFeatures(network, plan.features, (1,), plan.diffusion.n_timesteps, runtime)

    def of(self, case_id: str) -> np.ndarray:
        """[C,Z,Y,X] in [0,1]."""
        image = torch.from_numpy(self.reader.image(case_id))
        denoised = self.features.of_volume(image, self.plan.patch_size_zyx, seed=0).denoised
        assert denoised is not None, "this benchmark needs a plan whose visual target is denoised"
        return denoised.numpy()


def main() -> None:
    """Score every variant at every level; volumes must be as large as prepared (no crop, no resampling)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("demo"), help="holds raw/ preprocessed/ results/")
    parser.add_argument("-d", default="999", help="dataset")
    parser.add_argument("-f", default="0", help="fold")
    args = parser.parse_args()
    about, started = machine(), time.perf_counter()
    root = args.root
    folders = Workspace(root / "raw", root / "preprocessed", root / "results").dataset(args.d)
    description = load_description(folders)
    plan = read_record(Plan, folders.plans_json("ddPlans")).configuration("3d_fullres")
    checkpoint = folders.model("ddPlans", "3d_fullres") / f"fold_{args.f}/diffusion/checkpoint_final.pth"
    fold = read_splits(folders.splits_json)[int(args.f)]
    targets = Targets(folders, plan, checkpoint)
    sample = [targets.of(c) for c in fold.train[:: max(len(fold.train) // SAMPLE_CASES, 1)][:SAMPLE_CASES]]
    volumes = {case: targets.of(case) for case in fold.val}
    truths = {
        case: read_label_map(folders.labels_tr / f"{case}{description.file_ending}")[0] for case in fold.val
    }
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for name, (calm, border) in VARIANTS.items():
        case_points.CALM_SHARE, pseudo_labels.BACKGROUND_BORDER_SHARE = calm, border
        scores[name] = {}
        for level in plan.levels:
            start = WarmStart(sample, level.n_parts, seed=0)
            classes = description.classes_of_level(level.level)
            overlaps = [
                count_overlap(start.labels(volumes[c]), truths[c], level.n_parts, classes) for c in fold.val
            ]
            label_map = match_parts(overlaps)
            per_class = np.nanmean([strict_dice(o, label_map) for o in overlaps], axis=0)
            hsu = float(np.mean([hsu_dice(o) for o in overlaps]))
            scores[name][f"level{level.level}"] = {"hsu": hsu, "strict": float(np.nanmean(per_class))}
    write_result(
        "warm_start",
        {
            "command": f"python benchmarks/warm_start.py --root {root} -d {args.d} -f {args.f}",
            "dataset": folders.name,
            "n_validation_cases": len(fold.val),
            "scores": scores,
            "wall_s": time.perf_counter() - started,
            "machine": about,
        },
    )


if __name__ == "__main__":
    main()
