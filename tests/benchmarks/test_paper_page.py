import paper_page
import pytest
from paper_bench import ROWS
from paper_criteria import FEWEST_RUNS
from paper_row import run_of, trained
from paper_tables import RESULTS_PAGE

from dd_nnunet.storage.atomic import write_json


def test_the_page_by_hand(tmp_path):
    first = run_of((0.9, 0.8), 600.0, **trained(60.0, 240.0))
    # took over the diffusion model, so that its whole command was shorter
    second = run_of((0.8, 0.7), 100.0, **trained(120.0, 240.0))
    ours = {"runs": {"seed 0, fold 0": first, "seed 1, fold 0": second}}
    write_json(tmp_path / "regular50" / "ours.json", ours)
    kmeans = run_of((0.7, 0.7), collapsed=["level1"])
    write_json(tmp_path / "regular50" / "kmeans.json", {"runs": {"seed 0, fold 0": kmeans}})
    page = paper_page.page(tmp_path, "cpu-small")
    assert "regular, 50³, 24 training and 20 test cells" in page and "irregular" not in page
    # means 0.85 and 0.75; images 0.85 and 0.75 over the seeds
    assert "| dd_nnunet, as planned | **0.800** ± 0.071 [0.750, 0.850] | **0.500**" in page
    assert "| kmeans | 0.700 [0.700, 0.700] |" in page
    told = "segmenter 1.5 min, diffusion model 4.0 min, level 1 outside its coarser parts by 1.0 %"
    assert f"- dd_nnunet, as planned: {told}\n" in page
    assert "- kmeans: 1.0 min a run, 1 of 1 runs collapsed" in page
    assert "- on a CPU, 2 threads, torch 2.13.0" in page


def table(text, title):
    return text.split(f"## {title}")[1].split("\n## ")[0]


def test_published_numbers_stand_beside_the_methods_alone(tmp_path):
    for name in ("regular50", "regular32"):
        write_json(tmp_path / name / "ours.json", {"runs": {"seed 0, fold 0": run_of((0.9,))}})
    # the ablations of this effort are at 50³ too
    page = paper_page.page(tmp_path, "gpu")
    methods = table(page, "Methods (the paper's Table 1): regular, 50³")
    assert "| *the paper, published* | 0.986 | – | |" in methods
    assert "on the authors' own volumes, not on these" in methods
    assert page.count("published*") == 4 and page.count("*Published*") == 1
    assert "| dd_nnunet, as planned |" in table(page, "From the paper's settings to ours: regular, 50³")
    # and of small cells there are none
    assert "32³" in (small := paper_page.page(tmp_path, "cpu-small"))
    assert "published*" not in table(small, "From the paper's settings to ours: regular, 32³")


def test_violations_are_told_level_by_level():
    runs = [run_of((0.9,)), run_of((0.9,))]
    for run, rates in zip(runs, ((None, 0.01, 0.0), (None, 0.03, 0.0)), strict=True):
        levels = {
            str(n): run["levels"]["1"] | {"violation_rate": rate} for n, rate in enumerate(rates, start=1)
        }
        run["levels"] = levels
    assert list(paper_page._violations(runs)) == ["level 2 outside its coarser parts by 2.0 %"]


def test_a_gpu_is_named():
    machine = {"cpu": "a CPU", "threads": 2, "torch": "2.13.0"}
    assert paper_page._machine({"machine": machine}) == "a CPU, 2 threads, torch 2.13.0"
    with_gpu = machine | {"gpu": "NVIDIA H200"}
    assert paper_page._machine({"machine": with_gpu}) == "NVIDIA H200, a CPU, 2 threads, torch 2.13.0"


def test_what_criteria_do_not_tell_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(paper_page, "criteria_table", lambda folder: "| a table |\n")
    page = paper_page.page(tmp_path, "cpu-small")
    assert f"groups of fewer than {FEWEST_RUNS} are left out" in page
    assert "Seeds of a line are not independent of each other" in page
    assert "nothing is said about choosing an epoch within a run" in page


def test_seeds_are_averaged_over_folds_by_their_images():
    row = {"runs": {"seed 0, fold 0": run_of((0.9,)), "seed 0, fold 1": run_of((0.6, 0.6))}}
    assert paper_page._by_seed(row, "1", "hsu") == {"seed 0": pytest.approx(0.7)}


def test_tumours_are_told_case_by_case(tmp_path):
    def level_of(dice):
        images = {
            case: {"hsu": 0.5, "strict": {"0": 1.0, "1": value}, "hd95_mm": {"1": 10 * value}}
            for case, value in zip("ab", dice, strict=True)
        }
        return {
            "hsu": 0.5,
            "strict": 0.5,
            "foreground": 0.5,
            "hd95_mm": 2.0,
            "violation_rate": None,
            "per_image": images,
        }

    machine = {"cpu": "a CPU", "threads": 2, "torch": "2.13.0"}
    runs = {
        f"seed {seed}, fold 0": {
            "levels": {"1": level_of(dice), "2": level_of((0.1, 0.3))},
            "seconds": 60.0,
            "machine": machine,
        }
        for seed, dice in enumerate([(0.8, 0.4), (0.6, 0.4)])
    }
    write_json(tmp_path / "flair" / "otsu.json", {"runs": runs})
    page = paper_page.page(tmp_path, "cpu-small")
    assert "| level | a | b | mean Dice | mean HD95 mm |" in page
    assert "| otsu, level 1 | 0.700 | 0.400 | 0.550 | 5.5 |" in page
    assert "| otsu, level 2 | 0.100 | 0.300 | 0.200 | 2.0 |" in page


def test_a_document_gets_short_tables_between_its_markers(tmp_path):
    write_json(tmp_path / "gpu" / "regular50" / "ours.json", {"runs": {"seed 0, fold 0": run_of((0.9, 0.7))}})
    text = "before\n<!-- table: gpu methods regular50 -->\nold\n<!-- end -->\nafter"
    filled = paper_page.fill(text, tmp_path)
    assert "| dd_nnunet, as planned | **0.800** | **0.500** | 1 |" in filled and "published" not in filled
    assert filled.startswith("before\n") and filled.endswith("\nafter") and "old" not in filled
    assert paper_page.fill(filled, tmp_path) == filled


def test_the_pages_in_the_repository_are_made_of_the_rows():
    document = RESULTS_PAGE.read_text(encoding="utf-8")
    assert "<!-- table:" in document and paper_page.fill(document, ROWS) == document
    for written in ROWS.glob("*.md"):
        assert written.read_text(encoding="utf-8") == paper_page.page(ROWS / written.stem, written.stem)
