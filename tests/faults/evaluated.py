"""Score arrays as if they were folders of label maps."""

from small_volumes import write_label_map

from dd_nnunet.core.dataset import describe_dataset
from dd_nnunet.evaluation.folder import evaluate_folder, write_summary


def evaluate_arrays(folder, truth, predictions, labels, n_parts):
    """Write both as case -> [Z,Y,X] with 1 mm voxels, evaluate, and write the summary."""
    for kind, maps in (("truth", truth), ("out", predictions)):
        for case, array in maps.items():
            write_label_map(folder / kind / f"{case}.nii.gz", array)
    (folder / "out").mkdir(exist_ok=True)
    data = {"channel_names": {"0": "x"}, "file_ending": ".nii.gz", "labels": labels}
    description = describe_dataset(data, "dataset.json")
    summary = evaluate_folder(folder / "out", folder / "truth", description, 1, n_parts)
    write_summary(folder / "out", summary)
    return summary
