"""The gallery: data sets of many kinds, planned untouched, one fold each beside the baselines.

python benchmarks/gallery.py make --work DIR [--real DIR] [--mni FILE]    # raw data sets
python benchmarks/gallery.py plan --work DIR [NAME ...]                   # dd_plan_and_preprocess --preset fast
python benchmarks/gallery.py train --work DIR [NAME ...]                  # fold 0, baselines, picture, scores
python benchmarks/gallery.py page                                         # documentation/explanation/gallery.md

Every step continues where it was stopped. `plan` and `train` keep a data set's row in
benchmarks/results/gallery/NAME.json; `goldens --work DIR` writes what was measured into tests/golden.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gallery_page
from gallery_data import EXHIBITS, Exhibit, NotAtHandError, Request, make
from gallery_page import PAGE, PICTURES, ROWS
from gallery_picture import draw
from gallery_rivals import NOT_EXAMINED
from gallery_rows import FOLD, PLANS, PRESET, methods_for, planned, run_record, scores
from gallery_today import GOLDEN, golden_measured
from running import Commands

from dd_nnunet.core.json_record import dump_json
from dd_nnunet.core.plan import Plan
from dd_nnunet.storage.atomic import read_json, read_record, write_json
from dd_nnunet.storage.workspace import DatasetFolders, Workspace

OF_A_PLAN = ("channel_names", "labels", "levels", "parts", "file_ending")


@dataclass(frozen=True)
class Workshop:
    """Where the gallery is made, and where its rows go."""

    root: Path
    rows: Path = ROWS
    pictures: Path = PICTURES

    @property
    def workspace(self) -> Workspace:
        """The three folders."""
        return Workspace(self.root / "raw", self.root / "preprocessed", self.root / "results")

    def folders(self, exhibit: Exhibit) -> DatasetFolders:
        """Of one data set."""
        return self.workspace.dataset(exhibit.folder)

    def log(self, name: str) -> Path:
        """What the commands said."""
        return self.root / "logs" / f"{name}.txt"

    def times(self, name: str) -> Path:
        """One line of JSON per command: arguments, seconds, exit code."""
        return self.root / "logs" / f"{name}.jsonl"


def plan_exhibit(shop: Workshop, name: str) -> None:
    """Measure, plan and prepare; the row gets the plan unless it already has results."""
    exhibit = EXHIBITS[name]
    _run(shop, name, "plan_and_preprocess", "-d", exhibit.folder, "--preset", PRESET, "-np", "0")
    row = _read_row(shop, name)
    if row is None or row["run"] is None:
        _write_row(shop, name, planned(name, exhibit, shop.folders(exhibit)) | {"run": None, "scores": {}})


def train_exhibit(shop: Workshop, name: str) -> None:
    """Train fold 0 of every configuration, run the baselines on it, draw and score; skip what the row has."""
    exhibit = EXHIBITS[name]
    folders = shop.folders(exhibit)
    plan = read_record(Plan, folders.plans_json(PLANS))
    row, fresh = _read_row(shop, name), planned(name, exhibit, folders)
    if row is not None and row["run"] is not None and row["plan"] == fresh["plan"] and _is_scored(row, plan):
        print(f"{name}: has its results")
        return
    for configuration, its_plan in plan.configurations.items():
        _run(shop, name, "train", exhibit.folder, configuration, FOLD)
        for method in methods_for(its_plan):
            which = ("-d", exhibit.folder, "-c", configuration, "-f", FOLD)
            _run(shop, name, "baseline", "--method", method, *which)
    if exhibit.pictured:
        draw(folders, plan, FOLD, shop.pictures / f"{name}.png")
    results = {
        "run": run_record(folders, plan, shop.log(name), shop.times(name)),
        "scores": scores(folders, plan),
    }
    _write_row(shop, name, fresh | results)


def _is_scored(row: dict[str, Any], plan: Plan) -> bool:
    """Whether a trained row has all the baselines of its plan; without labels it has no scores at all."""
    wanted = {
        method for configuration in plan.configurations.values() for method in methods_for(configuration)
    }
    return not row["scores"] or wanted <= row["scores"].keys()


def write_goldens(shop: Workshop, folder: Path = GOLDEN) -> None:
    """What was measured of each planned data set, a case per line; golden_plans.py makes the plans of it."""
    for name, exhibit in EXHIBITS.items():
        folders = shop.folders(exhibit) if (shop.root / "preprocessed" / exhibit.folder).is_dir() else None
        if folders is None or not folders.fingerprint_json.exists():
            continue
        fingerprint = read_json(folders.fingerprint_json)
        raw = read_json(folders.preprocessed / "dataset.json")
        cases = ",\n".join(json.dumps(case, ensure_ascii=False) for case in fingerprint["cases"])
        rest = {"dataset": {key: raw[key] for key in OF_A_PLAN if key in raw}} | {
            "fingerprint": fingerprint | {"cases": []}
        }
        text = dump_json(rest).replace('"cases": []', f'"cases": [\n{cases}\n]', 1)
        golden_measured(name, folder).write_text(text, encoding="utf-8")


def _run(shop: Workshop, name: str, module: str, *arguments: str) -> None:
    """Run a command of ours; any other end than a good one ends all."""
    Commands(shop.workspace, shop.log(name), shop.times(name)).run(module, *arguments)


def _read_row(shop: Workshop, name: str) -> dict[str, Any] | None:
    path = shop.rows / f"{name}.json"
    return read_json(path) if path.exists() else None


def _write_row(shop: Workshop, name: str, row: dict[str, Any]) -> None:
    write_json(shop.rows / f"{name}.json", row)


def _wanted(args: argparse.Namespace) -> Iterator[str]:
    """The data sets asked for that are there; by default all."""
    for name in args.names or EXHIBITS:
        if name not in EXHIBITS:
            raise SystemExit(f"gallery: {name!r} is not there; choose of: {', '.join(EXHIBITS)}")
        if args.step in ("plan", "train") and not (args.work / "raw" / EXHIBITS[name].folder).exists():
            print(f"{name}: is not made yet, left out")
            continue
        yield name


def main(argv: Sequence[str] | None = None) -> None:
    """Do one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("make", "plan", "train", "page", "goldens"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(EXHIBITS)}")
    parser.add_argument("--work", type=Path, help="raw, prepared and trained data go there")
    parser.add_argument("--real", type=Path, help="folder with the data sets 901 to 903")
    parser.add_argument("--mni", type=Path, help="T1 file of nilearn's template, if it is not installed")
    parser.add_argument("--cases", type=int, default=10, help="of each synthetic set")
    parser.add_argument("--edge", type=int, help="smaller synthetic volumes, for trials")
    parser.add_argument("--rows", type=Path, default=ROWS, help="where the rows lie")
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="where the pictures lie")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page")
    args = parser.parse_intermixed_args(argv)
    if args.work is None and args.step != "page":
        parser.error("--work is needed")
    shop = Workshop(args.work or Path(), args.rows, args.pictures)
    if args.step == "page":
        text = gallery_page.page(args.rows, args.pictures, args.page.parent)
        args.page.write_text(text, encoding="utf-8")
        if NOT_EXAMINED in text:
            print("a baseline wins somewhere and REMARKS in gallery_rivals.py does not say why")
    elif args.step == "goldens":
        write_goldens(shop)
    else:
        request = Request(args.cases, args.edge, args.real, args.mni)
        for name in _wanted(args):
            _do(args.step, shop, name, request)


def _do(step: str, shop: Workshop, name: str, request: Request) -> None:
    if step == "plan":
        plan_exhibit(shop, name)
    elif step == "train":
        train_exhibit(shop, name)
    else:
        try:
            make(EXHIBITS[name], shop.workspace, request)
        except NotAtHandError as missing:
            print(f"{name}: left out: {missing}")


if __name__ == "__main__":
    main()
