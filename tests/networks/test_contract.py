"""Small networks run; a library that gives something else is noticed."""

import pytest
from torch import nn

from dd_nnunet.networks import contract


def test_the_installed_libraries_give_the_networks_we_build_on() -> None:
    assert contract.try_networks("cpu") == "cpu"


def test_another_shape_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "build_segmenter", lambda *arguments: nn.Conv3d(1, 2, 1))
    with pytest.raises(RuntimeError, match=r"shapes \(\(1, 1, 8, 8, 8\), \(1, 2, 8, 8, 8\)\)"):
        contract.try_networks("cpu")
