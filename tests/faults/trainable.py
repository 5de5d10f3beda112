"""A prepared dataset that dd_train goes through in a second: 6 + 6 + 6 steps, in epochs of three."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from small_dataset import DESCRIPTION, make_dataset, make_plan
from small_model import make_fingerprint

from dd_nnunet.commands import train
from dd_nnunet.networks.checkpoint import load_checkpoint
from dd_nnunet.storage.atomic import write_json
from dd_nnunet.training import pretrain_diffusion

STAGES = ("diffusion", "level1", "level2")


@dataclass(frozen=True)
class Trainable:
    workspace: object
    folders: object
    results: Path

    @property
    def model(self):
        return self.results / self.folders.name / "ddTrainer__ddPlans__3d_fullres"

    @property
    def fold(self):
        return self.model / "fold_all"

    def elsewhere(self, results):
        """The same dataset, to be trained into another folder."""
        return replace(self, results=results)

    @property
    def spaces(self):
        folders = {
            "raw": self.workspace.raw,
            "preprocessed": self.workspace.preprocessed,
            "results": self.results,
        }
        return [text for name, path in folders.items() for text in (f"--{name}", str(path))]

    def arguments(self, *more):
        return ["7", "3d_fullres", "all", "-device", "cpu", "--no_pbar", *self.spaces, *more]

    def train(self, *more):
        return train.main(self.arguments(*more))

    def write_plan(self, iterations=6, epochs=2, levels=None):
        plan = make_plan()
        old = plan.configurations["3d_fullres"]
        new = replace(
            old,
            diffusion=replace(old.diffusion, iterations=iterations),
            segmenter=replace(old.segmenter, epochs=epochs, iterations_per_epoch=3, warm_start_epochs=1),
            levels=levels or old.levels,
        )
        write_json(self.folders.plans_json("ddPlans"), replace(plan, configurations={"3d_fullres": new}))


def make_trainable(root, monkeypatch):
    """Diffusion epochs of three steps instead of one, so that there is a middle to stop in."""
    monkeypatch.setattr(pretrain_diffusion, "BLOCKS", 2)
    dataset = make_dataset(root)
    trainable = Trainable(dataset.workspace, dataset.folders, Path(dataset.workspace.results))
    trainable.write_plan()
    fingerprint = make_fingerprint()
    write_json(dataset.folders.fingerprint_json, fingerprint)
    write_json(dataset.folders.preprocessed / "dataset.json", DESCRIPTION)
    return trainable


def assert_same_fold(a, b):
    """The same bits in all networks of two folds."""
    for stage in STAGES:
        for name in ("checkpoint_final.pth", "checkpoint_best.pth", "checkpoint_latest.pth"):
            first, second = (load_checkpoint(fold / stage / name)["network"] for fold in (a, b))
            assert first.keys() == second.keys()
            assert all(torch.equal(first[key], second[key]) for key in first), f"{stage}/{name}"


def log_of(folder):
    """The log without what two runs may differ in."""
    entries = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in entries]


def saved_iteration(folder):
    return load_checkpoint(folder / "checkpoint_latest.pth")["progress"]["iteration"]
