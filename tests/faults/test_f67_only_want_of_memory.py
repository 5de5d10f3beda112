"""F67: only what torch's allocators raise counts as want of memory; all other errors in prediction come through."""

import numpy as np
import pytest
import torch
from predicting import make_toy, noise

from dd_nnunet.core.errors import UserError
from dd_nnunet.networks.device import choose_runtime
from dd_nnunet.prediction import predict_folder
from dd_nnunet.prediction.sliding_window import predict_slices


class Raises(torch.nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


def predict(error):
    runtime = choose_runtime("cpu", "float32")
    image = np.zeros((1, 8, 8, 8), np.float32)
    return list(predict_slices(Raises(error), image, (8, 8, 8), runtime, 0.5, True))


def test_want_of_memory_names_patch_and_remedy():
    with pytest.raises(UserError) as caught:
        predict(torch.OutOfMemoryError("CUDA out of memory"))
    assert caught.value.line == (
        "-device cpu: has not enough memory for a patch of 8 x 8 x 8 voxels; "
        "end what else uses it, or use -device cpu"
    )


def test_the_cpu_s_allocator_raises_a_plain_runtime_error_which_is_known_by_its_text():
    with pytest.raises(MemoryError, match="tried to allocate"):
        predict(
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8")
        )


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal memory access"), ValueError("x"), TypeError("x")]
)
def test_any_other_error_comes_through(error):
    with pytest.raises(type(error)) as caught:
        predict(error)
    assert caught.value is error


def test_it_ends_the_command_and_is_not_recorded_as_a_bad_case(tmp_path, monkeypatch):
    toy = make_toy(tmp_path)
    toy.add_image("a", noise())

    def segmenter(*_):
        return Raises(RuntimeError("an illegal memory access"))

    monkeypatch.setattr(predict_folder.ModelFolder, "segmenter", segmenter)
    with pytest.raises(RuntimeError, match="an illegal memory access"):
        toy.predict()
    assert not (toy.out / "predictions.json").exists()
