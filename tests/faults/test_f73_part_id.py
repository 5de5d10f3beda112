"""F73: -part_id is at most -num_parts minus 1; anything else is refused and nothing is predicted."""

import pytest
from predicting import make_toy, noise


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-num_parts", "2", "-part_id", "2"], "-part_id: is 2 of 2; allowed: 0 to 1"),
        (["-num_parts", "2", "-part_id", "-1"], "-part_id: is -1 of 2; allowed: 0 to 1"),
        (["-part_id", "1"], "-part_id: is 1 of 1; allowed: 0 to 0"),
        (["-num_parts", "0"], "-num_parts: is 0; allowed: 1 or more"),
    ],
)
def test_a_share_that_does_not_exist(tmp_path, capsys, flags, said):
    toy = make_toy(tmp_path)
    toy.add_image("a", noise())
    assert toy.predict(*flags) == 2
    assert capsys.readouterr().err == f"dd_predict_from_modelfolder: error: {said}\n"
    assert not toy.out.exists()


def test_the_shares_together_are_the_folder(tmp_path):
    toy = make_toy(tmp_path)
    for number, case_id in enumerate("abc"):
        toy.add_image(case_id, noise(number))
    for part_id, cases in (("0", ["a", "c"]), ("1", ["b"])):
        assert toy.predict("-num_parts", "2", "-part_id", part_id) == 0
        from dd_nnunet.storage.atomic import read_json

        assert list(read_json(toy.out / f"predictions_{part_id}_of_2.json")["cases"]) == cases
    assert sorted(path.name[0] for path in (toy.out / "level1").iterdir()) == ["a", "b", "c"]
