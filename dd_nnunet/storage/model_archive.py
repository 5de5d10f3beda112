"""A model as one zip file: a manifest and the files it names, nothing else; taken whole or not at all."""

import contextlib
import dataclasses
import hashlib
import re
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dd_nnunet.core.dataset import DATASET_NAME
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.json_record import (
    LARGEST_JSON_BYTES,
    dump_json,
    parse_json,
    record_from_json,
    record_to_json,
)
from dd_nnunet.core.level_plan import NESTED_LEVELS
from dd_nnunet.storage.atomic import CHUNK_BYTES, TEMPORARY_PREFIX, atomic_path, disk_error
from dd_nnunet.storage.folder_lock import locked
from dd_nnunet.storage.workspace import model_name

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
SHARED_WEIGHTS = "checkpoint_final.safetensors"
MODEL_JSON = ("plans.json", "dataset.json", "dataset_fingerprint.json")
ASK_AGAIN = "ask for it again, made by dd_export_model_to_zip"
PLAIN_NAME = re.compile(r"[\w.+-]{1,100}")
FOLD_NAME = re.compile(r"0|[1-9][0-9]{0,2}|all")
# no name that could lead anywhere else: lower case, ASCII, at most three folders deep
OPTIONAL_FILE = re.compile(
    r"fold_(0|[1-9][0-9]{0,2}|all)/diffusion/checkpoint_final\.safetensors"
    r"|crossval_results_folds_[0-9_]{1,100}/level[0-9]{1,3}/summary\.json"
)
# the date of every member, the first that the format can hold, so that the same model gives the same bytes
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
UNIX = 3


@dataclass(frozen=True)
class ArchivedFile:
    """A file of a model: its name below the model's folder, its size and SHA-256."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class ModelManifest:
    """manifest.json of a model archive.

    Args:
        dataset_name: e.g. "Dataset007_Cells".
        plans_name: of the plan.
        configuration: of the plan.
        folds: whose segmenters are inside.
        levels: of each of these folds.
        nested: they are those of one network.
        dd_nnunet: the version that wrote the archive.
        files: all of it but this one.
        schema_version: of this file.
    """

    dataset_name: str
    plans_name: str
    configuration: str
    folds: tuple[str, ...]
    levels: tuple[int, ...]
    dd_nnunet: str
    files: tuple[ArchivedFile, ...] = ()
    schema_version: int = SCHEMA_VERSION
    nested: bool = False

    @property
    def folder(self) -> str:
        """The folder of the model below the folder of all results; also the one inside the archive."""
        return f"{self.dataset_name}/{model_name(self.plans_name, self.configuration)}"

    @property
    def trainings(self) -> tuple[str, ...]:
        """Names of the folders of the trained segmenters, in each fold."""
        return (NESTED_LEVELS,) if self.nested else tuple(f"level{level}" for level in self.levels)

    @property
    def needed_files(self) -> frozenset[str]:
        """Without these the model does not predict."""
        weights = (shared_weights(fold, training) for fold in self.folds for training in self.trainings)
        return frozenset([*MODEL_JSON, *weights])


def shared_weights(fold: str, network: str) -> str:
    """Where the weights of a fold's "level1", "level2" …, "levels" or "diffusion" lie in an archive."""
    return f"fold_{fold}/{network}/{SHARED_WEIGHTS}"


def write_archive(path: Path, manifest: ModelManifest, files: Mapping[str, Callable[[], bytes]]) -> None:
    """Write a model archive atomically; the same model always gives the same bytes.

    Args:
        path: of the zip file.
        manifest: without its files.
        files: what makes the content of each file, by its name below the model's folder.

    Raises:
        DiskError: no space left.
        UserError: the folder may not be written.
    """
    listed = []
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            content = files[name]()
            archive.writestr(_member(f"{manifest.folder}/{name}"), content)
            listed.append(ArchivedFile(name, len(content), hashlib.sha256(content).hexdigest()))
        whole = dataclasses.replace(manifest, files=tuple(listed))
        archive.writestr(_member(MANIFEST), dump_json(record_to_json(whole)))


class ModelArchive:
    """An archive whose list of contents has been checked; made by `open_archive` only.

    Args:
        path: of the zip file.
        archive: open for reading.
        manifest: of it.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, manifest: ModelManifest) -> None:
        self.path = path
        self.manifest = manifest
        self._archive = archive

    def unpack(self, folder: Path) -> None:
        """Write every file of the manifest below a folder.

        Raises:
            UserError: a file is not the one that the manifest promises.
            DiskError: no space left.
        """
        for file in self.manifest.files:
            digest = hashlib.sha256()
            with atomic_path(folder / file.name) as temporary:
                with temporary.open("wb") as target:
                    for piece in self._pieces(f"{self.manifest.folder}/{file.name}"):
                        digest.update(piece)
                        target.write(piece)
                if digest.hexdigest() != file.sha256:
                    raise UserError(self.path, f"{file.name} is not the one of its {MANIFEST}", ASK_AGAIN)

    def _pieces(self, name: str) -> Iterator[bytes]:
        with _refuse_damage(self.path), self._archive.open(name) as stream:
            while piece := stream.read(CHUNK_BYTES):
                yield piece


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[ModelArchive]:
    """Open a model archive and check everything that can be checked before a byte is written.

    Members are plain files, not compressed (so that nothing can unpack to more than was sent), named once, all of
    them listed in the manifest with their size, and nothing else is in it.

    Raises:
        UserError: no such file, no zip file, no model, or anything of that does not hold.
    """
    if not path.is_file():
        raise UserError(path, "does not exist", "give a file that dd_export_model_to_zip wrote")
    with contextlib.ExitStack() as stack:
        with _refuse_damage(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            _check_members(path, archive.infolist())
            manifest = _read_manifest(path, archive)
        _check_manifest(path, manifest)
        _check_contents(path, manifest, archive.infolist())
        yield ModelArchive(path, archive, manifest)


@contextlib.contextmanager
def staging_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` for what shall become it; it is gone at the end, however it ends.

    What a killed process left there is removed first.

    Raises:
        UserError: another process uses it, or the folder may not be written.
    """
    staging = target.with_name(f"{TEMPORARY_PREFIX}{target.name}")
    try:
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(staging, error) from error
    work = staging / "work"
    with locked(staging):
        try:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            yield work
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            # nothing came of it: no empty folder of a dataset stays
            with contextlib.suppress(OSError):
                target.parent.rmdir()


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, ZIP_EPOCH)
    member.create_system = UNIX
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    return member


@contextlib.contextmanager
def _refuse_damage(path: Path) -> Iterator[None]:
    """Turn what zipfile raises for a broken or hostile file into a user's error."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        EOFError,
        OSError,
        OverflowError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:
        raise UserError(path, f"is no sound zip file ({error})", ASK_AGAIN) from None


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Each a plain file, as it is, once; and together no larger than the archive."""
    names = set()
    for member in members:
        shown = f"its member {member.filename[:100]!r}"
        if member.filename in names:
            raise UserError(path, f"{shown} is there twice", ASK_AGAIN)
        names.add(member.filename)
        if member.is_dir() or stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise UserError(path, f"{shown} is a folder, link or device", ASK_AGAIN)
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise UserError(path, f"{shown} is compressed", ASK_AGAIN)
    # members that share their bytes would be more than was sent
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise UserError(path, "says that it holds more than its own size", ASK_AGAIN)


def _read_manifest(path: Path, archive: zipfile.ZipFile) -> ModelManifest:
    where = f"{path}, {MANIFEST}"
    if MANIFEST not in archive.namelist():
        raise UserError(path, f"is no model of dd_nnunet: it holds no {MANIFEST}", ASK_AGAIN)
    if archive.getinfo(MANIFEST).file_size > LARGEST_JSON_BYTES:
        raise UserError(where, f"is larger than {LARGEST_JSON_BYTES >> 20} MB", ASK_AGAIN)
    return record_from_json(ModelManifest, parse_json(archive.read(MANIFEST).decode("utf-8"), where), where)


def _check_manifest(path: Path, manifest: ModelManifest) -> None:
    where = f"{path}, {MANIFEST}"
    if manifest.schema_version != SCHEMA_VERSION:
        reason = f"is of version {manifest.schema_version}, this dd_nnunet reads {SCHEMA_VERSION}"
        raise UserError(where, reason, f"install dd_nnunet {manifest.dd_nnunet[:20]}")
    if not DATASET_NAME.fullmatch(manifest.dataset_name) or len(manifest.dataset_name) > 200:
        reason = f"$.dataset_name is {manifest.dataset_name[:100]!r}"
        raise UserError(where, reason, "expected a name like Dataset007_Cells")
    for key in ("plans_name", "configuration"):
        if not PLAIN_NAME.fullmatch(getattr(manifest, key)):
            raise UserError(where, f"$.{key} is {getattr(manifest, key)[:100]!r}", ASK_AGAIN)
    for key, right in (
        ("folds", all(map(FOLD_NAME.fullmatch, manifest.folds))),
        ("levels", all(0 < level < 1000 for level in manifest.levels)),
    ):
        values = getattr(manifest, key)
        if not right or not 0 < len(set(values)) == len(values):
            raise UserError(where, f"$.{key} is {str(list(values))[:100]}", ASK_AGAIN)


def _check_contents(path: Path, manifest: ModelManifest, members: list[zipfile.ZipInfo]) -> None:
    """The manifest names what is needed and allowed, once, and the archive holds just that."""
    where = f"{path}, {MANIFEST}"
    listed = {file.name: file.size_bytes for file in manifest.files}
    needed = manifest.needed_files
    if len(listed) < len(manifest.files):
        raise UserError(where, "names a file twice", ASK_AGAIN)
    for name in sorted(listed):
        if name not in needed and not OPTIONAL_FILE.fullmatch(name):
            raise UserError(where, f"{name[:100]!r} is no file of a model", ASK_AGAIN)
        if name.endswith(".json") and listed[name] > LARGEST_JSON_BYTES:
            raise UserError(where, f"{name} is larger than {LARGEST_JSON_BYTES >> 20} MB", ASK_AGAIN)
    for name in sorted(needed - set(listed)):
        raise UserError(where, f"lacks {name}", ASK_AGAIN)
    found = {member.filename: member.file_size for member in members if member.filename != MANIFEST}
    wanted = {f"{manifest.folder}/{name}": size for name, size in listed.items()}
    for name in sorted({*found, *wanted}):
        if name not in wanted:
            raise UserError(path, f"holds {name[:100]!r}, which its {MANIFEST} does not name", ASK_AGAIN)
        if found.get(name) != wanted[name]:
            raise UserError(path, f"does not hold {name} as its {MANIFEST} says", ASK_AGAIN)
