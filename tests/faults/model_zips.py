"""Model archives as an attacker would make them: sound ones taken apart, changed, and put together again."""

import hashlib
import json
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from small_model import MODEL, contents_of, make_model

from dd_nnunet.commands import model_zip


def export(results: Path, target: Path, *flags: str) -> Path:
    arguments = [
        "-d",
        "7",
        "-o",
        str(target),
        "--results",
        str(results),
        "--preprocessed",
        str(results),
        "-q",
    ]
    assert model_zip.main_export([*arguments, *flags]) == 0
    return target


def sound_zip(folder: Path) -> Path:
    make_model(folder / "sender")
    return export(folder / "sender", folder / "sound.zip", "-f", "0")


@dataclass
class Zip:
    """The manifest as data, and (member, content) in the order in which they are written."""

    manifest: dict
    members: list = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Zip":
        with zipfile.ZipFile(path) as archive:
            members = [(i, archive.read(i)) for i in archive.infolist() if i.filename != "manifest.json"]
            return cls(json.loads(archive.read("manifest.json")), members)

    def replace(self, name: str, content: bytes) -> None:
        """Change a file and let the manifest agree."""
        self.members = [(i, content if i.filename == f"{MODEL}/{name}" else c) for i, c in self.members]
        for file in self.manifest["files"]:
            if file["name"] == name:
                file.update(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    def add(self, member: zipfile.ZipInfo | str, content: bytes) -> None:
        info = member if isinstance(member, zipfile.ZipInfo) else zipfile.ZipInfo(member)
        self.members.append((info, content))

    def list_as(self, name: str, content: bytes) -> None:
        entry = {"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        self.manifest["files"].append(entry)

    def write(self, path: Path) -> Path:
        # zipfile warns of the duplicates that are wanted here
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
            warnings.simplefilter("ignore")
            for info, content in self.members:
                archive.writestr(info, content, compress_type=info.compress_type)
            archive.writestr(zipfile.ZipInfo("manifest.json"), json.dumps(self.manifest))
        return path


def install(path: Path, results: Path, *flags: str) -> int:
    return model_zip.main_install([str(path), "--results", str(results), "-q", *flags])


def refused(path: Path, folder: Path, capsys) -> str:
    """Install below `folder`/results, which must fail in one line and write nothing anywhere; the line."""
    results = folder / "results"
    (results / "Dataset001_Other").mkdir(parents=True, exist_ok=True)
    before = contents_of(folder)
    capsys.readouterr()
    assert install(path, results) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert contents_of(folder) == before
    return error
