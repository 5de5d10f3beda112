"""F51: a checkpoint that holds code is refused, whichever command reads it, and the code does not run."""

import contextlib
import hashlib
import os
import pickle
import tarfile
from pathlib import Path

import pytest
import torch
from small_dataset import make_dataset
from small_model import make_model

from dd_nnunet.commands import predict, train
from dd_nnunet.core.errors import UserError
from dd_nnunet.networks.checkpoint import load_checkpoint


class Evil:
    """Unpickled by a careless reader, it makes a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


def plain_pickle(path, evil):
    path.write_bytes(pickle.dumps({"network": evil}))


def old_protocol(path, evil):
    path.write_bytes(pickle.dumps(evil, protocol=0))


def torch_zip(path, evil):
    torch.save({"network": {"weight": torch.zeros(2)}, "order": evil}, path)


def torch_before_zip(path, evil):
    torch.save({"network": evil}, path, _use_new_zipfile_serialization=False)


def torch_tar(path, evil):
    """The format of torch before 0.1.10, which had a reader of its own."""
    content = path.with_name("pickle")
    content.write_bytes(pickle.dumps(evil))
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.add(content, arcname=name)
    content.unlink()


WAYS = (plain_pickle, old_protocol, torch_zip, torch_before_zip, torch_tar)


def plant(path, write, mark):
    """The file, with a checksum that is right, and no generation before it."""
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, Evil(mark))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")


@pytest.mark.parametrize("write", WAYS)
def test_it_is_code(write, tmp_path):
    """The samples do work against a reader that trusts them."""
    mark = tmp_path / "was_run"
    write(tmp_path / "sample.pth", Evil(mark))
    # whatever a trusting reader makes of the rest, the code has run by then
    with contextlib.suppress(Exception):
        torch.load(tmp_path / "sample.pth", weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("write", WAYS)
def test_reading_does_not_run_it(write, tmp_path):
    mark = tmp_path / "was_run"
    plant(tmp_path / "checkpoint_final.pth", write, mark)
    with pytest.raises(UserError, match="holds more than tensors and plain values"):
        load_checkpoint(tmp_path / "checkpoint_final.pth")
    assert not mark.exists()


@pytest.mark.parametrize("write", [plain_pickle, torch_zip])
def test_predicting_does_not_run_it(write, tmp_path, capsys):
    mark = tmp_path / "was_run"
    dataset = make_dataset(tmp_path, labels=False)
    model = make_model(tmp_path / "results", folds=(0,))
    plant(model / "fold_0" / "level1" / "checkpoint_final.pth", write, mark)
    images, out = str(dataset.folders.images_tr), tmp_path / "out"
    arguments = ["-m", str(model), "-i", images, "-o", str(out), "-device", "cpu", "-q"]
    assert predict.main_from_modelfolder([*arguments, *dataset.flags]) == 2
    assert "level1/checkpoint_final.pth: is damaged, missing, or holds more" in capsys.readouterr().err
    assert not [path for path in out.rglob("*") if path.is_file()]
    assert not mark.exists()


def test_a_pretrained_diffusion_model_does_not_run(tmp_path, capsys):
    mark = tmp_path / "was_run"
    dataset = make_dataset(tmp_path)
    model = make_model(tmp_path / "results", folds=())
    plant(tmp_path / "given.pth", torch_zip, mark)
    arguments = [
        "7",
        "3d_fullres",
        "0",
        "-pretrained_diffusion",
        str(tmp_path / "given.pth"),
        "-device",
        "cpu",
    ]
    assert train.main([*arguments, "-q", *dataset.flags]) == 2
    assert "given.pth: is damaged, missing, or holds more" in capsys.readouterr().err
    assert not list(model.rglob("checkpoint_*.pth"))
    assert not mark.exists()


def test_a_checkpoint_to_continue_from_does_not_run(tmp_path, capsys):
    mark = tmp_path / "was_run"
    dataset = make_dataset(tmp_path)
    model = make_model(tmp_path / "results", folds=())
    plant(model / "fold_0" / "diffusion" / "checkpoint_latest.pth", torch_zip, mark)
    arguments = ["7", "3d_fullres", "0", "--stage", "diffusion", "-device", "cpu", "-q"]
    assert train.main([*arguments, *dataset.flags]) == 2
    assert "checkpoint_latest.pth: is damaged, missing, or holds more" in capsys.readouterr().err
    assert not mark.exists()
