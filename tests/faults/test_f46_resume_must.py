"""F46: the same command resumes; with --resume must it is an error to have nothing to resume from."""

from small_dataset import make_trainable


def test_nothing_to_resume_is_an_error_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    trainable = make_trainable(tmp_path, monkeypatch)
    assert trainable.train("-q", "--resume", "must") == 2
    assert capsys.readouterr().err == (
        f"dd_train: error: {trainable.fold}: holds nothing to resume; leave out --resume must to start training\n"
    )
    assert not trainable.workspace.results.exists()


def test_what_was_begun_is_resumed(tmp_path, monkeypatch, capsys):
    trainable = make_trainable(tmp_path, monkeypatch)
    # the time is up after the first step
    assert trainable.train("-q", "--stage", "diffusion", "--max_time", "1e-9") == 75
    assert trainable.train("--stage", "diffusion", "--resume", "must") == 0
    assert "continues after iteration 1\n" in capsys.readouterr().out
    assert trainable.train("--stage", "diffusion", "--resume", "must") == 0
    assert "finished already" in capsys.readouterr().out


def test_a_fresh_start_resumes_nothing(tmp_path, monkeypatch, capsys):
    trainable = make_trainable(tmp_path, monkeypatch)
    assert trainable.train("-q", "--resume", "must", "--fresh") == 2
    assert "--fresh and --resume must: exclude each other" in capsys.readouterr().err
