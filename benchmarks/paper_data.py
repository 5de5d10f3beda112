"""What the tables of the paper are made with: data sets, and how much is spent on them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Configuration = dict[str, Any]
# a value, or what follows from the configuration that is changed
Edit = Any | Callable[[Configuration], Any]
Edits = Mapping[tuple[str, str], Edit]


@dataclass(frozen=True)
class Cells:
    """Synthetic cells, divided once: learnt from the first, scored on the last.

    Args:
        number: of the data set.
        variant: of the generator.
        edge: of the volumes, in voxels.
        n_train, n_test: cases.
        lengths: edits of our plan of these data that all lines share.
    """

    number: int
    variant: str
    edge: int
    n_train: int
    n_test: int
    folds: tuple[str, ...] = ("0",)
    lengths: Edits | None = None

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
    """A data set that lies ready, in five folds; otherwise like `Cells`."""

    folder: str
    name: str
    about: str
    folds: tuple[str, ...] = ("0", "1", "2", "3", "4")
    lengths: Edits | None = None


@dataclass(frozen=True)
class Effort:
    """How much is spent.

    Args:
        because: what it is for.
        preset: our plan's.
        lengths: edits of our plan that all lines share, of whatever data.
        own_lengths: the paper's settings keep the lengths that they plan, instead of taking over ours.
        main, ablation, real: data of the tables.
        seeds: of training.
        one_seed: tables that are made with the first of them alone.
        left_out: tables that are not made.
    """

    because: str
    preset: str
    main: tuple[Cells, ...]
    ablation: tuple[Cells, ...]
    real: tuple[Real, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    one_seed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    lengths: Edits | None = None
    own_lengths: bool = False

    def seeds_of(self, table: str) -> tuple[int, ...]:
        """Of a table, by its key."""
        return self.seeds[:1] if table in self.one_seed else self.seeds

    def tables(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Which of some tables are made."""
        return tuple(key for key in keys if key not in self.left_out)

    def data(self, which: str) -> tuple[Cells | Real, ...]:
        """Of a table, by its `data`."""
        found: tuple[Cells | Real, ...] = getattr(self, which)
        return found


def _times_longer(configuration: Configuration) -> int:
    """How many times the epochs of one level's own network a nested one is trained for."""
    return 2 if configuration["segmenter"]["nested"] else 1


def same_steps(configuration: Configuration) -> int:
    """Epochs of one level's own network."""
    return int(configuration["segmenter"]["epochs"]) // _times_longer(configuration)


def hundred_epochs(configuration: Configuration) -> int:
    """The paper's, per level."""
    return 100 * _times_longer(configuration)


def two_stages(configuration: Configuration) -> list[dict[str, Any]]:
    """The levels, each fed by its stage and the next finer one."""
    n_stages = len(configuration["diffusion"]["kernel_sizes_zyx"])
    return [
        level | {"stages": sorted({*level["stages"], min(max(level["stages"]) + 1, n_stages)})}
        for level in configuration["levels"]
    ]


def half(part: str, key: str) -> Callable[[Configuration], int]:
    """Half of what is planned."""
    return lambda configuration: int(configuration[part][key]) // 2


# half of all steps: three seeds of two data sets in an hour
HALVED: Edits = {
    place: half(*place) for place in (("diffusion", "iterations"), ("segmenter", "iterations_per_epoch"))
}
# and a narrow segmenter, so that thirty lines can be trained three times
NARROW: Edits = {**HALVED, ("segmenter", "features_per_stage"): (8, 16, 32, 64)}

FLAIR = Real("Dataset901_TinyFLAIR", "flair", "BRATS 2013 FLAIR at 2 mm, six patients in five folds")
REGULAR50, IRREGULAR50 = Cells(931, "regular", 50, 80, 20), Cells(932, "irregular", 50, 80, 20)
# fewer to learn from: features of 80 volumes take as long as the training
FEW_REGULAR50, FEW_IRREGULAR50 = (
    Cells(number, variant, 50, 24, 20, lengths=HALVED)
    for number, variant in ((934, "regular"), (935, "irregular"))
)
REGULAR32 = Cells(933, "regular", 32, 40, 20, lengths=NARROW)

EFFORTS: Mapping[str, Effort] = {
    "cpu-small": Effort(
        because="2 CPU cores: main table at 50³ with half the steps, ablations at 32³ with a segmenter of 8 channels",
        preset="fast",
        main=(FEW_REGULAR50, FEW_IRREGULAR50),
        ablation=(REGULAR32,),
        real=(FLAIR,),
        one_seed=("stages", "released", "times", "flair"),
        left_out=("flair-losses",),
    ),
    "gpu": Effort(
        because="one GPU of 24 GB or more",
        preset="standard",
        main=(REGULAR50, IRREGULAR50),
        ablation=(REGULAR50,),
        real=(FLAIR,),
    ),
    "full": Effort(
        because="the paper's lengths: 64 channels, 50 000 iterations, 100 epochs (200 where levels nest)",
        preset="standard",
        main=(REGULAR50, IRREGULAR50),
        ablation=(REGULAR50, IRREGULAR50),
        real=(FLAIR,),
        lengths={
            ("diffusion", "channels"): (64, 128, 256, 512),
            ("diffusion", "iterations"): 50_000,
            ("diffusion", "learning_rate"): 1e-4,
            ("segmenter", "epochs"): hundred_epochs,
        },
        own_lengths=True,
    ),
}
