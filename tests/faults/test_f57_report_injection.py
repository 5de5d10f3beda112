"""F57: text from files (case ids, names, settings) stays text in the report, whatever it looks like."""

import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))

from fake_run import DESCRIPTION, add_baseline, make_dataset, make_fingerprint, make_plan, train_level
from page_reader import PageReader

from dd_nnunet.commands.report import main
from dd_nnunet.core.json_record import record_to_json
from dd_nnunet.core.plan import Decision
from dd_nnunet.storage.atomic import read_json, write_json

SCRIPT = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(1)>"  # without a slash, so that files can have this name
QUOTE = '"><b onload=alert(1)>'


def hostile_run(root):
    labels = {"background": 0, f"cell {SCRIPT}": 1, QUOTE: 2, IMAGE: 3}
    levels = {f"level{n}": {"background": [0], SCRIPT: [1, 2], QUOTE: [3]} for n in (1, 2)}
    hostile = {**DESCRIPTION, "labels": labels, "levels": levels, "channel_names": {"0": SCRIPT}}
    run = make_dataset(root, description=hostile)
    for level in (1, 2):
        train_level(run, level)
    add_baseline(run, IMAGE, 50)
    plan = record_to_json(make_plan(16))
    plan["decisions"].append(record_to_json(Decision(QUOTE, SCRIPT, IMAGE)))
    plan["dataset_name"] = f"Dataset007_{SCRIPT}"
    write_json(run.folders.plans_json("ddPlans"), plan)
    write_json(run.folders.fingerprint_json, make_fingerprint(16, [f"case {SCRIPT}", f"=cmd|{QUOTE}"]))
    debug = run.model / "fold_0" / "level1" / "debug.json"
    settings = read_json(debug)
    settings["identity"].update({"device": SCRIPT, QUOTE: IMAGE})
    write_json(debug, settings)
    hostile_log(run.model / "fold_0" / "level2")
    for level in (1, 2):
        validation = run.model / "fold_0" / f"level{level}" / "validation"
        summary = (
            run.folders.baseline(IMAGE, "ddPlans", "3d_fullres") / "fold_0" / f"level{level}" / "validation"
        )
        content = read_json(summary / "summary.json")
        content.update({"missing": [SCRIPT, "../../etc"], "unexpected_labels": {QUOTE: 3}})
        content["label_map"] = {SCRIPT: 1, QUOTE: None}
        content["protocols"]["strict"]["per_class"] = {SCRIPT: 0.5, QUOTE: 0.1}
        write_json(validation / "summary.json", content)
        (validation / f"{IMAGE}.nii.gz").write_bytes((validation / "cell_c.nii.gz").read_bytes())
    return run


def hostile_log(folder):
    """Text in log.jsonl and finished.json, where training writes a word or a number."""
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for entry in entries:
        entry.update({"phase": SCRIPT, QUOTE: IMAGE})
    (folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    finished = read_json(folder / "finished.json")
    write_json(folder / "finished.json", {**finished, "device": IMAGE, QUOTE: SCRIPT})


def check_page(page, *shown):
    """The page has no tag, attribute or address that is not ours, and shows these texts as they are written."""
    html = page.read_text(encoding="utf-8")
    reader = PageReader(html)
    assert "<script" not in html.lower()
    assert "script" not in {tag for tag, _ in reader.tags}
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    assert all(address.startswith(("data:", "#")) for address in reader.values_of("src", "srcset", "href"))
    for text in shown:
        assert text in reader.text


def test_hostile_names_stay_text(tmp_path):
    run = hostile_run(tmp_path)
    page = tmp_path / "report.html"
    assert main(["-d", "7", "-o", str(page), "-q", *run.flags]) == 0
    check_page(page, SCRIPT, IMAGE, QUOTE, f"=cmd|{QUOTE}")


def test_hostile_records_of_predictions_stay_text(tmp_path):
    run = hostile_run(tmp_path)
    folder = tmp_path / "predicted"
    shutil.copytree(run.model / "fold_0" / "level1" / "validation", folder / "level1")
    cases = {
        f"lost {SCRIPT}": {"state": "failed", "reason": IMAGE},
        "cell_c": {"state": "done", "warnings": [QUOTE]},
    }
    write_json(folder / "predictions.json", {"cases": cases})
    page = tmp_path / "report.html"
    arguments = ["-d", "7", "-o", str(page), "--predictions", str(folder), "-q"]
    assert main([*arguments, *run.flags]) == 0
    check_page(page, f"Case lost {SCRIPT} could not be predicted: {IMAGE}", f"Case cell_c: {QUOTE}")


def test_names_cannot_steer_the_terminal(tmp_path, capsys):
    """An error shows the control characters of a name instead of sending them."""
    run = make_dataset(tmp_path)
    plan = record_to_json(make_plan(16))
    plan["configurations"]["\x1b]0;owned\x07\x1b[2J"] = {}
    write_json(run.folders.plans_json("ddPlans"), plan)
    assert main(["-d", "7", "-q", *run.flags]) == 2
    error = capsys.readouterr().err
    assert "$.configurations.\\x1b]0;owned\\x07\\x1b[2J lacks the key" in error
    assert all(character.isprintable() for character in error.removesuffix("\n"))


def test_the_page_forbids_scripts_and_the_network_anyway(tmp_path):
    run = make_dataset(tmp_path)
    train_level(run, 1)
    page = tmp_path / "report.html"
    main(["-d", "7", "-o", str(page), "-q", *run.flags])
    policy = [a["content"] for t, a in PageReader(page.read_text()).tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_an_image_with_such_a_name_is_refused(tmp_path, capsys):
    run = make_dataset(tmp_path)
    train_level(run, 1)
    image = run.folders.images_tr / "cell_a_0000.nii.gz"
    (image.parent / f"{IMAGE}_0000.nii.gz").write_bytes(image.read_bytes())
    assert main(["-d", "7", *run.flags]) == 2
    assert "is not allowed" in capsys.readouterr().err
