"""F84: stopped in the final validation (--max_time, a signal, a kill), dd_train again finishes just that."""

import itertools

import pytest
from small_dataset import CASES, make_trainable

from dd_nnunet.prediction.predict_case import FoldEnsemble
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.training import loop


class KilledError(BaseException):
    pass


def times_of(folder, pattern):
    return {path: path.stat().st_mtime_ns for path in folder.glob(pattern)}


def test_only_what_is_missing_is_predicted(tmp_path, monkeypatch):
    trainable = make_trainable(tmp_path, monkeypatch)
    write, count = FoldEnsemble.write, itertools.count(1)

    def dying(*arguments):
        if next(count) == 4:
            raise KilledError
        return write(*arguments)

    monkeypatch.setattr(FoldEnsemble, "write", dying)
    with pytest.raises(KilledError):
        trainable.train("-q", "-l", "1")
    monkeypatch.setattr(FoldEnsemble, "write", write)
    trained = times_of(trainable.fold, "*/checkpoint_*")
    predicted = times_of(trainable.fold, "level1/validation/*.nii.gz")
    assert len(predicted) == 3
    assert not (trainable.fold / "level1" / "validation" / "summary.json").exists()

    monkeypatch.delattr(loop._Loop, "_step")  # whoever trains now fails
    assert trainable.train("-q", "-l", "1") == 0
    assert times_of(trainable.fold, "*/checkpoint_*") == trained
    after = times_of(trainable.fold, "level1/validation/*.nii.gz")
    assert len(after) == len(CASES) and predicted.items() <= after.items()
    summary = read_json(trainable.fold / "level1" / "validation" / "summary.json")
    assert (summary["n_cases"], summary["n_missing"]) == (len(CASES), 0)


def test_every_start_does_something_however_short_its_time(tmp_path, monkeypatch, capsys):
    trainable = make_trainable(tmp_path, monkeypatch)
    trainable.write_plan(diffusion={"iterations": 2}, segmenter={"epochs": 1})
    codes, said = [], []
    while not codes or codes[-1]:
        codes.append(trainable.train("-q", "-l", "1", "--max_time", "1e-9"))
        said.append(capsys.readouterr().err)
        assert len(codes) <= 20
    # a step, a case's features, a case's prediction at a time; the last start has only the scores left
    assert codes == [75] * (2 + len(CASES) + 3 + len(CASES)) + [0]
    assert all("stopped because its time is up" in line for line in said[:-1])


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "long"])
def test_a_time_that_is_none_is_refused(hours, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as caught:
        make_trainable(tmp_path, monkeypatch).train("--max_time", hours)
    assert caught.value.code == 2
    assert "is no number of hours above 0" in capsys.readouterr().err
