"""F82: there is no tracker to be offline: training opens no socket, looks up no host and imports no tracker."""

import subprocess
import sys

from small_dataset import make_trainable

TRACKERS = ("wandb", "mlflow", "tensorboard", "comet_ml", "neptune", "aim", "clearml", "sentry_sdk")
WATCHED = """
import sys
seen = []
def watch(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.", "ftplib.", "smtplib.")) and event != "socket.gethostname":
        seen.append((event, str(arguments)))
sys.addaudithook(watch)
from dd_nnunet.commands.train import main
code = main(sys.argv[1:])
print("SEEN", seen)
print("IMPORTED", sorted({name.split(".")[0] for name in sys.modules}))
sys.exit(code)
"""


def test_training_keeps_off_the_network(tmp_path, monkeypatch):
    trainable = make_trainable(tmp_path, monkeypatch)
    trainable.write_plan(diffusion={"iterations": 1}, segmenter={"epochs": 1})
    command = [sys.executable, "-c", WATCHED, *trainable.arguments("-q", "-l", "1")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    seen, imported = done.stdout.splitlines()[-2:]
    assert seen == "SEEN []"
    assert not [name for name in TRACKERS if f"'{name}'" in imported]
    assert (trainable.fold / "level1" / "validation" / "summary.json").exists()


def test_the_watch_would_see_a_socket():
    code = WATCHED.replace("from dd_nnunet.commands.train import main", "import socket").replace(
        "code = main(sys.argv[1:])", "socket.socket(); code = 0"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert "socket.__new__" in done.stdout
