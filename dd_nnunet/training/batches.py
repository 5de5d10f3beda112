"""Random patches as batchgenerators serves them, reproducible whatever the number of workers."""

import logging
import random
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from batchgenerators.dataloading.data_loader import SlimDataLoaderBase
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from batchgenerators.transforms.abstract_transforms import AbstractTransform, Compose
from batchgenerators.transforms.color_transforms import (
    BrightnessMultiplicativeTransform,
    ContrastAugmentationTransform,
)
from batchgenerators.transforms.noise_transforms import GaussianNoiseTransform
from batchgenerators.transforms.spatial_transforms import MirrorTransform

from dd_nnunet.core.case import FloatArray
from dd_nnunet.core.plan import Zyx
from dd_nnunet.preprocessing.parallel import end_with_parent, how_they_ended, no_interrupt
from dd_nnunet.training.seeds import derive_seed

_logger = logging.getLogger(__name__)
LoadCase = Callable[[str], FloatArray]
Batch = dict[str, Any]


@dataclass(frozen=True)
class BatchSource:
    """Where patches come from.

    Args:
        case_ids: to draw from, each as often as any other.
        load_case: case id -> padded volume [C,Z,Y,X] in [0,1], at least as large as the patch.
        patch_zyx: shape of a patch.
        batch_size: patches per batch.
        seed: decides every draw together with the iteration.
    """

    case_ids: Sequence[str]
    load_case: LoadCase
    patch_zyx: Zyx
    batch_size: int
    seed: int


class PatchLoader(SlimDataLoaderBase):
    """Draws batch i from (seed, i) alone, so that resuming and the number of workers change nothing.

    A batch holds `data` [B,C,Z,Y,X], `case_ids` and `starts_zyx` (first voxel of each patch), `iteration`.
    """

    def __init__(self, source: BatchSource, first_iteration: int, n_workers: int) -> None:
        super().__init__(source, source.batch_size, max(n_workers, 1))
        self.source = source
        self.next_iteration = first_iteration
        self.thread_id = 0

    def generate_train_batch(self) -> Batch:
        """The next batch of this worker; worker w of n serves iterations first + w, first + w + n and so on."""
        iteration = self.next_iteration + self.thread_id
        self.next_iteration += self.number_of_threads_in_multithreaded
        seed = derive_seed(self.source.seed, "batch", iteration)
        draws = np.random.default_rng(seed)
        case_ids = [str(c) for c in draws.choice(list(self.source.case_ids), self.source.batch_size)]
        volumes = [self.source.load_case(case_id) for case_id in case_ids]
        starts = [_draw_start(draws, volume.shape[1:], self.source.patch_zyx) for volume in volumes]
        patches = [_cut(v, s, self.source.patch_zyx) for v, s in zip(volumes, starts, strict=True)]
        return {
            "data": np.stack(patches).astype(np.float32),
            "case_ids": case_ids,
            "starts_zyx": starts,
            "iteration": iteration,
            "seed": derive_seed(seed, "transforms"),
        }

    def set_thread_id(self, thread_id: int) -> None:
        """Called once in each background process, which must end at once when it is told to."""
        super().set_thread_id(thread_id)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=end_with_parent, daemon=True).start()


class Seeded(AbstractTransform):
    """A transform that draws from the batch's `seed` and leaves the global random states as they were.

    batchgenerators' transforms draw from Python's and numpy's global states.
    """

    def __init__(self, transform: AbstractTransform) -> None:
        self.transform = transform

    def __call__(self, **batch: Any) -> dict[str, Any]:
        """Transform the batch."""
        states = random.getstate(), np.random.get_state()
        random.seed(batch["seed"])
        np.random.seed(batch["seed"])
        try:
            transformed: dict[str, Any] = self.transform(**batch)
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
        return transformed


def mirroring() -> AbstractTransform:
    """Random mirroring of all three axes, for the diffusion model."""
    return Compose([MirrorTransform(axes=(0, 1, 2))])


def unchanged() -> AbstractTransform:
    """Volumes as they are."""
    return Compose([])


def photometric() -> AbstractTransform:
    """Mild noise, brightness and contrast changes, for the segmenter; geometry stays, so features still fit."""
    return Compose(
        [
            GaussianNoiseTransform(noise_variance=(0, 0.003), p_per_sample=0.3),
            BrightnessMultiplicativeTransform(multiplier_range=(0.9, 1.1), p_per_sample=0.3),
            ContrastAugmentationTransform(contrast_range=(0.9, 1.1), p_per_sample=0.3),
        ]
    )


def iterate_batches(
    source: BatchSource, transform: AbstractTransform, first_iteration: int, n_workers: int
) -> Generator[Batch, None, None]:
    """Batches first_iteration, first_iteration + 1, … without end; workers end with the iterator.

    When a worker is killed, half as many go on where it stopped; when one raises an error, this process goes on
    and meets the error itself. The batches are the same either way.

    Args:
        source: what to draw from.
        transform: batchgenerators transform on `data`.
        first_iteration: where to begin.
        n_workers: background processes; 0 augments in this process.
    """
    next_iteration = first_iteration
    while n_workers:
        loader = PatchLoader(source, next_iteration, n_workers)
        augmenter = MultiThreadedAugmenter(
            loader, Seeded(transform), n_workers, num_cached_per_queue=2, pin_memory=False
        )
        root = logging.getLogger()
        root.addFilter(_is_no_interrupt)
        workers: list[Any] = []
        try:
            with no_interrupt():
                augmenter.restart()
            workers = list(augmenter._processes)
            for batch in augmenter:
                next_iteration = batch["iteration"] + 1
                yield batch
        except RuntimeError:
            killed = any(worker.exitcode for worker in workers)
            n_workers = n_workers // 2 if killed else 0
            others = f"{n_workers} of them" if n_workers else "this process"
            text = "warning: a background process %s; batches from %d on are made by %s"
            _logger.warning(text, how_they_ended(workers), next_iteration, others)
        finally:
            augmenter._finish()
            root.removeFilter(_is_no_interrupt)
    loader = PatchLoader(source, next_iteration, n_workers)
    yield from SingleThreadedAugmenter(loader, Seeded(transform))


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    # batchgenerators logs Ctrl-C as an error; the command tells it in its own line
    return "KeyboardInterrupt" not in record.getMessage()


def _draw_start(draws: np.random.Generator, shape: tuple[int, ...], patch: Zyx) -> Zyx:
    z, y, x = (int(draws.integers(0, s - p + 1)) for s, p in zip(shape, patch, strict=True))
    return (z, y, x)


def _cut(volume: FloatArray, start: Zyx, patch: Zyx) -> FloatArray:
    box = tuple(slice(s, s + p) for s, p in zip(start, patch, strict=True))
    return volume[(slice(None), *box)]
