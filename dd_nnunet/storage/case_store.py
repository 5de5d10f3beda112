"""Prepared cases on disk: one compressed array and one JSON record each, and a manifest of their hashes."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

from dd_nnunet.core.case import CaseProperties, PreparedCase
from dd_nnunet.core.dataset import check_case_id
from dd_nnunet.core.errors import UserError
from dd_nnunet.core.json_record import dump_json, record_to_json
from dd_nnunet.storage.atomic import read_record, sha256_of, write_bytes, write_json
from dd_nnunet.storage.raw_files import RawFileRecord, are_unchanged, record_raw_files

MANIFEST_NAME = "manifest.json"
CHUNK_EDGE_VOXELS = 64
SCHEMA_VERSION = 1
PREPARE_AGAIN = "run dd_preprocess again"


def array_path(folder: Path, case_id: str) -> Path:
    """Where the array of a prepared case lies."""
    return Path(folder) / f"{case_id}.b2nd"


def properties_path(folder: Path, case_id: str) -> Path:
    """Where the properties of a prepared case lie."""
    return Path(folder) / f"{case_id}.json"


def write_case(folder: Path, case: PreparedCase) -> None:
    """Write {case}.b2nd, then {case}.json, each atomically; the folder is made if it is missing.

    Raises:
        UserError: a case id that is no file name, or that is the manifest's.
        DiskError: no space left.
    """
    case_id = check_case_id(case.properties.case_id, folder)
    if properties_path(folder, case_id).name.lower() == MANIFEST_NAME:
        raise UserError(folder, f"case id {case_id!r} is the name of the manifest", "rename the case")
    write_array(array_path(folder, case_id), case.array)
    write_json(properties_path(folder, case_id), case.properties)


def read_case(folder: Path, case_id: str) -> PreparedCase:
    """Read a prepared case, `array` [C,Z,Y,X] float32.

    Raises:
        UserError: missing or damaged, or array and properties do not belong together.
    """
    properties = read_properties(folder, case_id)
    array = read_array(array_path(folder, case_id))
    if array.shape[1:] != properties.prepared_shape_zyx or array.dtype != np.float32:
        raise UserError(
            array_path(folder, case_id),
            f"holds {array.dtype} {array.shape}, its properties say float32 {properties.prepared_shape_zyx}",
            PREPARE_AGAIN,
        )
    return PreparedCase(array, properties)


def read_properties(folder: Path, case_id: str) -> CaseProperties:
    """Read only the properties of a prepared case.

    Raises:
        UserError: missing or damaged.
    """
    return read_record(CaseProperties, properties_path(folder, case_id))


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array of any shape and number type as one compressed .b2nd file, atomically.

    The last three axes are cut into chunks of 64 voxels, so that a patch can be read alone. The same
    array always gives the same bytes (one thread: the frame depends on their number).
    """
    edge = CHUNK_EDGE_VOXELS
    chunks = tuple(
        max(1, min(length, edge if axis >= array.ndim - 3 else 1)) for axis, length in enumerate(array.shape)
    )
    frame = blosc2.asarray(
        np.ascontiguousarray(array),
        chunks=chunks,
        cparams={"codec": blosc2.Codec.ZSTD, "clevel": 5, "nthreads": 1},
    ).to_cframe()
    write_bytes(path, frame)


def read_array(path: Path) -> npt.NDArray[Any]:
    """Read a whole .b2nd array.

    Raises:
        UserError: missing or damaged.
    """
    return read_region(path, ())


def read_region(path: Path, region: tuple[slice, ...]) -> npt.NDArray[Any]:
    """Read a part of a .b2nd array, `array[region]`, without unpacking the rest.

    Raises:
        UserError: missing or damaged, or a recipe or reference instead of an array.
    """
    if not Path(path).is_file():
        raise UserError(path, "does not exist", PREPARE_AGAIN)
    try:
        # "safe" is the default since 4.14.1; before, blosc2 ran the Python source that a file may hold
        stored = blosc2.open(str(path), mode="r", dparams={"nthreads": 1}, deserialize="safe")
        if not isinstance(stored, blosc2.NDArray):
            raise ValueError("it holds no array")
        return np.asarray(stored[region])
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(path, f"is damaged ({_first_line(error)})", PREPARE_AGAIN) from None


@dataclass(frozen=True)
class CaseRecord:
    """One prepared case: its raw files, its two prepared files, and the configuration that made it."""

    raw_files: tuple[RawFileRecord, ...]
    array_sha256: str
    properties_sha256: str
    configuration_sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a prepared folder holds, manifest.json; files that it does not name do not count.

    Args:
        cases: by case id.
        schema_version: of this file.
    """

    cases: dict[str, CaseRecord] = dataclasses.field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read the manifest of a prepared folder; an empty one where there is none yet.

        Raises:
            UserError: damaged.
        """
        path = Path(folder) / MANIFEST_NAME
        return read_record(cls, path) if path.exists() else cls()

    def save(self, folder: Path) -> None:
        """Write it atomically, cases in the order of their ids."""
        write_json(
            Path(folder) / MANIFEST_NAME, Manifest(dict(sorted(self.cases.items())), self.schema_version)
        )

    def with_case(self, case_id: str, record: CaseRecord) -> "Manifest":
        """A manifest that also holds this case."""
        return Manifest({**self.cases, case_id: record}, self.schema_version)

    def is_current(
        self, case_id: str, channel_files: Sequence[Path], folder: Path, configuration_sha256: str
    ) -> bool:
        """Whether a case is prepared from these very raw files by this configuration, and undamaged."""
        record = self.cases.get(case_id)
        if record is None or record.configuration_sha256 != configuration_sha256:
            return False
        return (
            are_unchanged(record.raw_files, channel_files)
            and _has_hash(array_path(folder, case_id), record.array_sha256)
            and _has_hash(properties_path(folder, case_id), record.properties_sha256)
        )


def record_case(
    case_id: str, channel_files: Sequence[Path], folder: Path, configuration_sha256: str
) -> CaseRecord:
    """Hash the raw and the prepared files of a case that was just written."""
    return CaseRecord(
        raw_files=record_raw_files(channel_files),
        array_sha256=sha256_of(array_path(folder, case_id)),
        properties_sha256=sha256_of(properties_path(folder, case_id)),
        configuration_sha256=configuration_sha256,
    )


def sha256_of_record(record: Any) -> str:
    """SHA-256 of a record's JSON text; equal records have equal hashes."""
    return hashlib.sha256(dump_json(record_to_json(record)).encode("utf-8")).hexdigest()


def _has_hash(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
