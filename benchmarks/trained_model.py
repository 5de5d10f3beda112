"""A trained model that a benchmark predicts with: the flags that name it, and the file that keeps a row per model."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gallery_rows import commit
from measuring import RESULTS, machine, write_result

from dd_nnunet.prediction.model_folder import ModelFolder
from dd_nnunet.storage.atomic import read_json
from dd_nnunet.storage.workspace import DatasetFolders, Workspace


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the flags that name a model."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="holds raw/, preprocessed/ and results/")
    parser.add_argument("--results", type=Path, help="instead of results/ in it")
    parser.add_argument("-d", required=True, metavar="ID", help="data set")
    parser.add_argument("-f", default="0", metavar="FOLD", help="default: 0")
    parser.add_argument("-p", default="ddPlans", metavar="PLANS", help="default: ddPlans")
    parser.add_argument("-c", default="3d_fullres", metavar="CONFIGURATION", help="default: 3d_fullres")
    return parser


def open_model(args: argparse.Namespace) -> tuple[ModelFolder, DatasetFolders]:
    """The model that the flags name, and the folders of its data set."""
    results = args.results or args.work / "results"
    folders = Workspace(args.work / "raw", args.work / "preprocessed", results).dataset(args.d)
    return ModelFolder.open(folders.model(args.p, args.c)), folders


def keep_row(benchmark: str, flags: str, name: str, found: Mapping[str, Any]) -> None:
    """Put a row into the benchmark's file beside those of other models, with the machine and the commit."""
    kept = RESULTS / f"{benchmark}.json"
    rows = read_json(kept)["rows"] if kept.exists() else {}
    rows[name] = {**found, "machine": machine(), "commit": commit()}
    command = f"python benchmarks/{benchmark}.py --work DIR -d ID {flags}"
    write_result(benchmark, {"command": command, "rows": dict(sorted(rows.items()))})
