from dd_nnunet.core.units import counted


def test_one_is_no_plural():
    assert [counted(n, "case") for n in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
    assert [counted(n, "file", ("is", "are")) for n in (0, 1, 2)] == [
        "0 files are",
        "1 file is",
        "2 files are",
    ]
