"""The lines of the paper's tables: ways of training set beside each other, and the rivals."""

from dataclasses import dataclass

from paper_data import Edit, Edits, same_steps, two_stages

from dd_nnunet.evaluation.baselines.bright_cluster import SMALLEST_SHARE

OURS, PAPER = "ours", "paper"
TRAINING_FREE = ("kmeans", "denoise-kmeans", "objects")
ON_FEATURES = ("feat-kmeans", "feat-gmm")
RULES = ("otsu", "bright-cluster")


@dataclass(frozen=True)
class Variant:
    """A way of training: a line of a table.

    Args:
        name: of its plan.
        about: what the line says.
        flags: of the planner; empty = our plan.
        edits: of that plan, (part of the configuration, key or "" for the part itself) -> new value.
        teacher: the line whose parts of the training cases are its labels.
        networks_of: the line, before it in its table, whose networks it predicts with; nothing is trained.
    """

    name: str
    about: str
    flags: tuple[str, ...] = ()
    edits: Edits | None = None
    teacher: str = ""
    networks_of: str = ""


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
        ensemble: of a line, its networks of all seeds averaged; "" = none.
    """

    key: str
    title: str
    about: str
    data: str
    variants: tuple[Variant, ...]
    baselines: tuple[str, ...] = ()
    ensemble: str = ""

    @property
    def lines(self) -> dict[str, str]:
        """Name -> what the line says, in their order."""
        found = {variant.name: variant.about for variant in self.variants}
        if self.ensemble:
            found[ensemble_name(self.ensemble)] = f"{found[self.ensemble]}, all seeds averaged"
        return found | {method: method for method in self.baselines}


def ensemble_name(line: str) -> str:
    """Of the line that averages another one's seeds."""
    return f"{line}-ensemble"


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


PAPER_SETTINGS = Variant(
    PAPER, "the paper's settings (`-pl paper`), with our sizes and rates", ("-pl", "paper")
)
AS_PLANNED = Variant(OURS, "dd_nnunet, as planned")
ON_FLAIR = ("-pl", "paper", "--parts", "3", "--stages", "2")
PAPER_ON_FLAIR = Variant("paper-flair", "the paper's settings for FLAIR, with our sizes and rates", ON_FLAIR)
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
    Variant("two-stages", "levels fed by the next finer stage too", edits={("levels", ""): two_stages}),
    Variant(
        "every-step", "Eq. 8 in every step, weighed once", edits={("segmenter", "invariance_interval"): 1}
    ),
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
TIMES = (
    *(
        Variant(
            f"t{timestep}",
            f"t = {timestep}, four draws",
            edits={**WARM_STARTED, ("features", "timesteps"): (timestep,)},
        )
        for timestep in (25, 50, 100, 140)
    ),
    Variant(
        "t100-one-draw",
        "t = 100, one draw",
        edits={**WARM_STARTED, ("features", "timesteps"): (100,), ("features", "n_draws"): 1},
    ),
)

TABLES = (
    Table(
        "methods",
        "Methods (the paper's Table 1)",
        "Everything from the untouched plan, beside the paper's settings and the rivals on the same test cells.",
        "main",
        (AS_PLANNED, PAPER_SETTINGS),
        (*TRAINING_FREE, *ON_FEATURES),
        ensemble=OURS,
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
        "student",
        "Students and ensembles",
        "A second network that learns what the first one says after its second pass, instead of the objects that the "
        "first one learnt from; and the first ones of all seeds, averaged.",
        "ablation",
        (AS_PLANNED, Variant("student", "a student of it", teacher=OURS)),
        ensemble=OURS,
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
        "Every case held out once; the part that matches the whole tumour best. Small components are left out by the "
        f"share of `bright-cluster`, {SMALLEST_SHARE:g} of the largest.",
        "real",
        (
            AS_PLANNED,
            Variant(
                "components",
                "small components left out",
                edits={("segmenter", "smallest_component"): SMALLEST_SHARE},
                networks_of=OURS,
            ),
        ),
        ("kmeans", "denoise-kmeans", *RULES, *ON_FEATURES),
    ),
    Table(
        "flair-losses",
        "Losses left out on FLAIR (ablation rows of the paper's Table 3)",
        "The paper's settings with K = 3 by stage 2, and with one λ = 0 at a time.",
        "real",
        (
            PAPER_ON_FLAIR,
            *(
                Variant(f"paper-no-{loss}", f"λ of the {loss} loss = 0", ON_FLAIR, {("segmenter", key): 0.0})
                for loss, key in (
                    ("invariance", "invariance_weight"),
                    ("feature", "feature_weight"),
                    ("visual", "visual_weight"),
                )
            ),
        ),
    ),
)
