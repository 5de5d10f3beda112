"""What the tables of the paper are made of: data, efforts, and ways of training set beside each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Configuration = dict[str, Any]
# a value, or what follows from the configuration that is changed
Edit = Any | Callable[[Configuration], Any]
OURS, PAPER = "ours", "paper"
TRAINING_FREE = ("kmeans", "denoise-kmeans", "objects")
ON_FEATURES = ("feat-kmeans", "feat-gmm")
RULES = ("otsu", "bright-cluster")
# what the paper's settings take over from ours, so that both spend the same effort
LENGTHS = (
    ("diffusion", "channels"),
    ("diffusion", "batch_size"),
    ("diffusion", "iterations"),
    ("diffusion", "learning_rate"),
    ("segmenter", "features_per_stage"),
    ("segmenter", "batch_size"),
    ("segmenter", "iterations_per_epoch"),
    ("segmenter", "learning_rate"),
)


@dataclass(frozen=True)
class Cells:
    """Synthetic cells, divided once: learnt from the first, scored on the last.

    Args:
        number: of the data set.
        variant: of the generator.
        edge: of the volumes, in voxels.
        n_train, n_test: cases.
    """

    number: int
    variant: str
    edge: int
    n_train: int
    n_test: int
    folds: tuple[str, ...] = ("0",)

    @property
    def name(self) -> str:
        """E.g. "regular50"."""
        return f"{self.variant}{self.edge}"

    @property
    def folder(self) -> str:
        """Of the raw data set."""
        return f"Dataset{self.number}_{self.name.capitalize()}"

    @property
    def about(self) -> str:
        """For the head of a table."""
        return f"{self.variant}, {self.edge}³, {self.n_train} training and {self.n_test} test cells"


@dataclass(frozen=True)
class Real:
    """A data set that lies ready, in five folds."""

    folder: str
    name: str
    about: str
    folds: tuple[str, ...] = ("0", "1", "2", "3", "4")


@dataclass(frozen=True)
class Variant:
    """A way of training: a line of a table.

    Args:
        name: of its plan.
        about: what the line says.
        flags: of the planner; empty = our plan, edited.
        edits: (part of the configuration, key or "" for the part itself) -> new value.
    """

    name: str
    about: str
    flags: tuple[str, ...] = ()
    edits: Mapping[tuple[str, str], Edit] | None = None


@dataclass(frozen=True)
class Table:
    """Lines on the same data.

    Args:
        key: names it in flags and results.
        title: its heading.
        about: what it asks, as Markdown.
        data: "main", "ablation" or "real": which data of the effort.
        variants: lines that are trained.
        baselines: lines that `dd_baseline` gives.
        published: (line, scores) of the literature, as text, per data's variant.
    """

    key: str
    title: str
    about: str
    data: str
    variants: tuple[Variant, ...]
    baselines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effort:
    """How much is spent.

    Args:
        because: what it is for.
        preset: our plan's.
        lengths: edits of our plan that all lines share.
        main, ablation, real: data of the tables.
        seeds: of training.
    """

    because: str
    preset: str
    main: tuple[Cells, ...]
    ablation: tuple[Cells, ...]
    real: tuple[Real, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    lengths: Mapping[tuple[str, str], Edit] | None = None

    def data(self, table: Table) -> tuple[Cells | Real, ...]:
        """Of a table."""
        found: tuple[Cells | Real, ...] = getattr(self, table.data)
        return found


FLAIR = Real("Dataset901_TinyFLAIR", "flair", "BRATS 2013 FLAIR at 2 mm, six patients in five folds")
REGULAR50, IRREGULAR50 = Cells(931, "regular", 50, 80, 20), Cells(932, "irregular", 50, 80, 20)
REGULAR32 = Cells(933, "regular", 32, 40, 20)

EFFORTS: Mapping[str, Effort] = {
    "cpu-small": Effort(
        because="2 CPU cores: main table at 50³, ablations at 32³",
        preset="fast",
        main=(REGULAR50, IRREGULAR50),
        ablation=(REGULAR32,),
        real=(FLAIR,),
    ),
    "gpu": Effort(
        because="one GPU of 24 GB or more",
        preset="standard",
        main=(REGULAR50, IRREGULAR50),
        ablation=(REGULAR50,),
        real=(FLAIR,),
    ),
    "full": Effort(
        because="the paper's lengths: 64 channels, 50 000 iterations, 100 epochs",
        preset="standard",
        main=(REGULAR50, IRREGULAR50),
        ablation=(REGULAR50, IRREGULAR50),
        real=(FLAIR,),
        lengths={
            ("diffusion", "channels"): (64, 128, 256, 512),
            ("diffusion", "iterations"): 50_000,
            ("diffusion", "learning_rate"): 1e-4,
            ("segmenter", "epochs"): 100,
        },
    ),
}


def same_steps(configuration: Configuration) -> int:
    """Epochs of one level's own network: a nested one is trained for twice as many."""
    segmenter = configuration["segmenter"]
    return int(segmenter["epochs"]) // (2 if segmenter["nested"] else 1)


def _from_scratch(kept: str) -> dict[tuple[str, str], Edit]:
    """Our plan without the steps that come after one of them on the ladder from the paper's settings to ours."""
    steps: list[tuple[str, dict[tuple[str, str], Edit]]] = [
        ("scale-free", {("segmenter", "scale_free"): False}),
        ("standardised", {("features", "scaling"): "none", ("features", "n_components"): 0}),
        ("timesteps", {("features", "timesteps"): (25,), ("features", "n_draws"): 1}),
        ("denoised", {("features", "visual_target"): "image"}),
        ("warm-start", {("segmenter", "warm_start_epochs"): 0, ("segmenter", "anchor_weight"): 0.0}),
        ("nested", {("segmenter", "epochs"): same_steps, ("segmenter", "nested"): False}),
        ("objects", {("objects", ""): None}),
        ("second-pass", {("objects", "second_pass"): False}),
    ]
    names = [name for name, _ in steps]
    without = steps[names.index(kept) + 1 :] if kept else steps
    edits: dict[tuple[str, str], Edit] = {}
    for name, taken_away in without:
        # without objects there is no second pass
        if name != "second-pass" or kept == "objects":
            edits |= taken_away
    return edits


PAPER_SETTINGS = Variant(PAPER, "the paper's settings (`-pl paper`)", ("-pl", "paper"))
AS_PLANNED = Variant(OURS, "dd_nnunet, as planned")
LADDER = (
    PAPER_SETTINGS,
    Variant(
        "step-recipe",
        "our plan and training recipe, the paper's losses and features",
        edits=_from_scratch(""),
    ),
    Variant(
        "step-scale-free", "+ each consistency divided by its variance", edits=_from_scratch("scale-free")
    ),
    Variant(
        "step-standardised", "+ standardised channels, 32 components", edits=_from_scratch("standardised")
    ),
    Variant("step-timesteps", "+ two timesteps from the noise, four draws", edits=_from_scratch("timesteps")),
    Variant("step-denoised", "+ denoised target of Eq. 7", edits=_from_scratch("denoised")),
    Variant(
        "step-warm-start", "+ warm start by k-means, which stays beside", edits=_from_scratch("warm-start")
    ),
    Variant("step-nested", "+ levels that nest in one network", edits=_from_scratch("nested")),
    Variant("step-objects", "+ start from objects within objects", edits=_from_scratch("objects")),
    AS_PLANNED,
)
OTHERWISE = (
    AS_PLANNED,
    Variant("whitened", "features whitened", edits={("features", "scaling"): "whiten"}),
    Variant("no-feature", "λ_f = 0", edits={("segmenter", "feature_weight"): 0.0}),
    Variant("no-visual", "λ_v = 0", edits={("segmenter", "visual_weight"): 0.0}),
    Variant("no-invariance", "λ_inv = 0", edits={("segmenter", "invariance_weight"): 0.0}),
    Variant(
        "labels-alone",
        "λ_f = λ_v = λ_inv = 0: objects learnt as labels",
        edits={
            ("segmenter", "feature_weight"): 0.0,
            ("segmenter", "visual_weight"): 0.0,
            ("segmenter", "invariance_weight"): 0.0,
        },
    ),
)
WARM_STARTED = _from_scratch("warm-start")
TIMES = tuple(
    Variant(
        f"t{timestep}",
        f"t = {timestep}, four draws",
        edits={**WARM_STARTED, ("features", "timesteps"): (timestep,)},
    )
    for timestep in (25, 50, 100, 140)
)

TABLES = (
    Table(
        "methods",
        "Methods (the paper's Table 1)",
        "Everything from the untouched plan, beside the rivals on the same test cells.",
        "main",
        (AS_PLANNED,),
        (*TRAINING_FREE, *ON_FEATURES),
    ),
    Table(
        "ladder",
        "From the paper's settings to ours",
        "Each line adds one thing to the line above it.",
        "ablation",
        LADDER,
        (*TRAINING_FREE, *ON_FEATURES),
    ),
    Table(
        "stages",
        "Decoder stage and level (the paper's Table 2)",
        "The paper's settings; every level fed by the same stage.",
        "ablation",
        tuple(
            Variant(
                f"stage{s}",
                f"stage {s} at every level",
                ("-pl", "paper", "--stages", str(s), str(s), str(s)),
            )
            for s in (1, 2, 3)
        ),
    ),
    Table(
        "released",
        "Departures of the released code",
        "The paper's settings, with one thing as the authors' published code does it.",
        "ablation",
        (
            PAPER_SETTINGS,
            *(
                Variant(f"released_{name}", name.replace("_", " "), ("-pl", "paper", "--as_released", name))
                for name in ("resize64", "sampling_grids", "no_squares", "small_segmenter")
            ),
        ),
    ),
    Table(
        "otherwise",
        "Ours, with one thing otherwise",
        "What the losses add to the labels that levels start from, and whitened features.",
        "ablation",
        OTHERWISE,
    ),
    Table(
        "times",
        "Timesteps that features are read at",
        "The line of the warm start above, with features and denoised target at one timestep.",
        "ablation",
        TIMES,
    ),
    Table(
        "flair",
        "Whole tumours in FLAIR (the paper's Table 3)",
        "Every case held out once; the part that matches the whole tumour best.",
        "real",
        (AS_PLANNED,),
        ("kmeans", "denoise-kmeans", *RULES),
    ),
)
