"""F74: with --continue_prediction a whole output of the same image and arguments is kept; any other is made again."""

import pytest
from predicting import make_toy, noise

from dd_nnunet.storage.atomic import write_json


@pytest.fixture
def toy(tmp_path):
    toy = make_toy(tmp_path)
    toy.add_image("a", noise(0))
    toy.add_image("b", noise(1))
    assert toy.predict() == 0
    return toy


def written(toy):
    return {
        path.relative_to(toy.out).as_posix(): path.stat().st_mtime_ns for path in toy.out.rglob("*.nii.gz")
    }


def made_again(toy, *flags, code=0):
    """Which cases a second run makes again."""
    before = written(toy)
    assert toy.predict("--continue_prediction", *flags) == code
    return {name.split("/")[1][0] for name, time in written(toy).items() if time != before.get(name)}


def test_what_is_whole_is_kept(toy):
    assert made_again(toy) == set()


def test_the_counts_add_up(toy, capsys):
    toy.add_image("b", noise(2))
    (toy.add_image("c", noise(3))).write_bytes(b"no volume")
    capsys.readouterr()
    assert toy.predict("--continue_prediction") == 3
    printed = capsys.readouterr()
    assert f"3 cases: 1 predicted, 1 there already, 1 failed; in {toy.out}\n" in printed.out
    assert "1 of 3 cases failed: c" in printed.err


def test_without_the_flag_all_is_made_again(toy):
    before = written(toy)
    assert toy.predict() == 0
    assert all(time != before[name] for name, time in written(toy).items())


@pytest.mark.parametrize("damage", ["half", "flip", "remove"])
def test_a_damaged_output_is_made_again(toy, damage):
    path = toy.out / "level2" / "a.nii.gz"
    whole = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "half":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert made_again(toy) == {"a"}
    assert path.read_bytes() == whole


def test_another_image_under_the_same_name_is_predicted(toy):
    toy.add_image("b", noise(2))
    assert made_again(toy) == {"b"}


def test_other_arguments_make_all_again(toy):
    assert made_again(toy, "-step_size", "0.4") == {"a", "b"}
    # the probabilities were not there yet
    assert made_again(toy, "-step_size", "0.4", "--save_probabilities") == {"a", "b"}
    assert made_again(toy, "-step_size", "0.4", "--save_probabilities") == set()
    (toy.out / "level1" / "b.b2nd").unlink()
    assert made_again(toy, "-step_size", "0.4", "--save_probabilities") == {"b"}


def test_an_output_that_the_record_does_not_name_does_not_count(toy):
    write_json(toy.out / "predictions.json", {"cases": {}})
    assert made_again(toy) == {"a", "b"}


def test_a_half_written_temporary_file_is_no_output(toy):
    whole = (toy.out / "level1" / "a.nii.gz").read_bytes()
    (toy.out / "level1" / "a.nii.gz").rename(toy.out / "level1" / ".dd_tmp_0123456789ab.nii.gz")
    assert made_again(toy) == {"a"}
    assert (toy.out / "level1" / "a.nii.gz").read_bytes() == whole


def test_a_record_of_another_kind_is_named(toy, capsys):
    write_json(toy.out / "predictions.json", ["a"])
    assert made_again(toy, code=2) == set()
    assert "predictions.json: is no record of predictions ($.cases); remove it" in capsys.readouterr().err
