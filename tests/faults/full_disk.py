"""A disk that is full for some files: their temporary files are links to /dev/full, where every write fails."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dd_nnunet.storage.atomic import TEMPORARY_PREFIX

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")


def fill_disk(monkeypatch: pytest.MonkeyPatch, is_full_for: Callable[[Path], bool]) -> None:
    """Until `monkeypatch` is undone the disk has no space for the files for which the function is true."""
    with_name = Path.with_name

    def with_full_name(path: Path, name: str) -> Path:
        temporary = with_name(path, name)
        if name.startswith(TEMPORARY_PREFIX) and is_full_for(path):
            temporary.parent.mkdir(parents=True, exist_ok=True)
            temporary.symlink_to("/dev/full")
        return temporary

    monkeypatch.setattr(Path, "with_name", with_full_name)


def from_the_nth_on(n: int, ending: str) -> Callable[[Path], bool]:
    """True from the n-th file of that ending on; others fit."""
    met: list[Path] = []

    def is_full_for(path: Path) -> bool:
        met.extend([path] if path.name.endswith(ending) else [])
        return path.name.endswith(ending) and len(met) >= n

    return is_full_for
