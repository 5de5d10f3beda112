"""All cases of a dataset: measured, then prepared; in processes, repeatable, and never half."""

import contextlib
import importlib.metadata
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dd_nnunet.core.case import Volume
from dd_nnunet.core.dataset import CaseFiles
from dd_nnunet.core.errors import DDError, DiskError, ManyErrors
from dd_nnunet.core.fingerprint import SCHEMA_VERSION, DatasetFingerprint
from dd_nnunet.core.plan import STRICT, ConfigurationPlan, ReadingPlan
from dd_nnunet.core.units import counted
from dd_nnunet.planning.fingerprinting import MEASUREMENT_VERSION, fingerprint_case, merge_fingerprints
from dd_nnunet.preprocessing.case import preprocess_case
from dd_nnunet.preprocessing.parallel import Workers, map_cases
from dd_nnunet.storage.atomic import remove_leftovers
from dd_nnunet.storage.case_store import CaseRecord, Manifest, record_case, sha256_of_record, write_case
from dd_nnunet.storage.folder_lock import HOLDER_NAME, locked
from dd_nnunet.storage.grids import ShiftedGridError
from dd_nnunet.storage.header_checks import NotFiniteError
from dd_nnunet.storage.measured_cases import MeasuredCase, MeasuredCases, record_measured
from dd_nnunet.storage.volume import read_volume

_logger = logging.getLogger(__name__)

SAVE_SECONDS = 2.0
# by which cases are read and measured: other versions may give other last digits
MEASURING_PACKAGES = ("numpy", "scipy", "scikit-image", "SimpleITK")
ALLOWED_BY: dict[type[DDError], str] = {
    NotFiniteError: "--nan zero or --nan median",
    ShiftedGridError: "--allow_geometry_mismatch",
}


@dataclass(frozen=True)
class Prepared:
    """How many cases were prepared now, and how many were prepared already."""

    n_new: int
    n_kept: int


def fingerprint_dataset(
    where: object,
    cases: Sequence[CaseFiles],
    workers: Workers,
    reading: ReadingPlan = STRICT,
    kept_in: Path | None = None,
) -> DatasetFingerprint:
    """Read and verify every case once, and measure it on the way; what was measured before is taken as it is.

    Args:
        where: the dataset, named in errors.
        cases: of imagesTr.
        workers: how the work is spread.
        reading: what is allowed although it is odd.
        kept_in: folder of what was measured of each case, which also gets the new ones; None reads all cases and
            writes nothing.

    Raises:
        UserError: a bad case, or no case with contents; `ManyErrors` lists all bad cases.
        DiskError: no space left.
    """
    store = None if kept_in is None else MeasuredCases(kept_in, _measured_by(reading))
    kept = {} if store is None else store.current(cases)
    todo = [case for case in cases if case.case_id not in kept]
    if kept:
        _logger.info("fingerprint: %d of %s measured before", len(kept), counted(len(cases), "case"))
    measure = partial(_measure, reading=reading, with_hashes=store is not None)
    found = kept | map_cases(measure, todo, workers, "fingerprint", None if store is None else store.keep)
    if store is not None:
        store.drop_others(found)
    in_order = [found[case.case_id] for case in cases]
    odd = [warning for measured in in_order for warning in measured.warnings]
    merged = merge_fingerprints([measured.fingerprint for measured in in_order], where, odd)
    return replace(merged, reading=reading)


def _measured_by(reading: ReadingPlan) -> str:
    """Changes with all but the raw files that changes what is measured of a case."""
    versions = [importlib.metadata.version(name) for name in MEASURING_PACKAGES]
    return sha256_of_record((SCHEMA_VERSION, MEASUREMENT_VERSION, versions, reading))


def preprocess_dataset(
    cases: Sequence[CaseFiles],
    configuration: ConfigurationPlan,
    folder: Path,
    workers: Workers,
    clean: bool = False,
) -> Prepared:
    """Prepare every case that is not prepared yet: {case}.b2nd, {case}.json, and a manifest.

    A case is kept if its raw files, the configuration and the prepared files are those of the manifest; so a
    run that was ended in the middle goes on, and a second run does nothing.

    Args:
        cases: to prepare; others that the manifest lists are dropped from it.
        configuration: how.
        folder: is made if it is missing.
        workers: how the work is spread.
        clean: remove first what was prepared before.

    Raises:
        UserError: bad cases, after the others were prepared; another process works in the folder.
        DiskError: no space left.
    """
    with locked(folder):
        remove_leftovers(folder)
        if clean:
            _remove_prepared(folder)
        identity = _identity(configuration)
        kept = _current_records(cases, folder, identity)
        notes = _Notes(folder, kept)
        todo = [case for case in cases if case.case_id not in kept]
        prepare = partial(_prepare, configuration=configuration, folder=folder, identity=identity)
        with notes.kept_at_the_end():
            map_cases(prepare, todo, workers, "preprocess", notes.add)
    return Prepared(len(todo), len(kept))


def _identity(configuration: ConfigurationPlan) -> str:
    """Changes with all of the plan that changes a prepared case."""
    made_by: tuple[object, ...] = (configuration.spacing_zyx_mm, configuration.normalization)
    # left out by default, so that what was prepared before there was a choice stays current
    if configuration.reading != STRICT:
        made_by += (configuration.reading,)
    if not configuration.crop:
        made_by += ("whole volumes",)
    return sha256_of_record(made_by)


def _current_records(cases: Sequence[CaseFiles], folder: Path, identity: str) -> dict[str, CaseRecord]:
    """What the manifest says of the cases that need not be prepared again."""
    old = Manifest.load(folder)
    return {
        case.case_id: old.cases[case.case_id]
        for case in cases
        if old.is_current(case.case_id, case.channel_files, folder, identity)
    }


def _remove_prepared(folder: Path) -> None:
    for pattern in ("*.b2nd", "*.json"):
        for path in folder.glob(pattern):
            if path.name != HOLDER_NAME:
                path.unlink()


class _Notes:
    """The manifest of a folder, written every few seconds."""

    def __init__(self, folder: Path, kept: dict[str, CaseRecord]) -> None:
        self._folder = folder
        self._cases = dict(kept)
        self._saved_at = time.monotonic()

    def add(self, case_id: str, record: CaseRecord) -> None:
        self._cases[case_id] = record
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            self.save()

    @contextlib.contextmanager
    def kept_at_the_end(self) -> Iterator[None]:
        """Save them when the work ends, in whatever way; remove what was left half."""
        try:
            yield
        except BaseException:
            # on a full disk this may fail too, and the first error is the one to tell
            with contextlib.suppress(DiskError):
                self.save()
            remove_leftovers(self._folder)
            raise
        self.save()

    def save(self) -> None:
        Manifest(self._cases).save(self._folder)
        self._saved_at = time.monotonic()


def _measure(case: CaseFiles, reading: ReadingPlan, with_hashes: bool) -> MeasuredCase:
    try:
        volume = _read(case, reading)
    except DDError as error:
        raise _with_flag(error) from None
    fingerprint = fingerprint_case(volume, case.case_id)
    if not with_hashes:
        return MeasuredCase(fingerprint, volume.warnings, "", ())
    return record_measured(fingerprint, volume.warnings, case.channel_files)


def _with_flag(error: DDError) -> DDError:
    """Add the flag that allows it, which the commands that measure have, and those that only read do not."""
    if isinstance(error, ManyErrors):
        return ManyErrors([_with_flag(each) for each in error.errors])
    if (flag := ALLOWED_BY.get(type(error))) is None:
        return error
    return type(error)(error.where, error.reason, f"{error.remedy}, or plan with {flag}")


def _prepare(case: CaseFiles, configuration: ConfigurationPlan, folder: Path, identity: str) -> CaseRecord:
    write_case(folder, preprocess_case(_read(case, configuration.reading), case.case_id, configuration))
    return record_case(case.case_id, case.channel_files, folder, identity)


def _read(case: CaseFiles, reading: ReadingPlan) -> Volume:
    with _silent("dd_nnunet.storage.volume"):
        return read_volume(case.channel_files, reading)


@contextlib.contextmanager
def _silent(logger_name: str) -> Iterator[None]:
    """The warnings of a volume come back with it and are told once, with the fingerprint."""
    logger = logging.getLogger(logger_name)
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False
