"""A row of the gallery, made by hand."""


def score(dice, hd95_mm=2.0):
    protocols = {p: {"dice": dice, "foreground": dice, "hd95_mm": hd95_mm} for p in ("hsu", "strict")}
    return {"level": 1, "n_cases": 2, "protocols": protocols}


def trained_row(collapsed=False):
    level = {"level": 1, "n_parts": 2, "stages": [1]}
    return {
        "dataset": "Dataset919_DarkGranules",
        "command": "python benchmarks/gallery.py train --work DIR em",
        "measured": {
            "n_cases": 10, "median_crop_shape_zyx": [48, 48, 40], "median_spacing_zyx_mm": [1.6e-5] * 3,
            "noise_sd": 0.1, "noise_slope": -1.2, "snr": 1.6, "diameters_mm": [0.00056, 0.000134],
        },
        "plan": {
            "configurations": {
                "3d_fullres": {
                    "spacing_zyx_mm": [1.6e-5] * 3, "patch_size_zyx": [48, 48, 40], "levels": [level],
                    "normalization": [{"scheme": "percentile"}], "timesteps": [84, 126],
                }
            },
            "decisions": [
                {"name": "timesteps", "value": "84 126", "because": "of the noise", "configuration": "3d_fullres"}
            ],
        },
        "run": {
            "wall_seconds_train": 630.0,
            "expected_minutes": ["about 9 minutes on this machine by a short probe"],
            "finished": {
                "3d_fullres/diffusion": {"device": "cpu: it is there", "seconds": 306.0},
                "3d_fullres/level1": {"collapsed": collapsed, "device": "cpu: it is there", "seconds": 300.0},
            },
            "machine": {"cpu": "a CPU", "threads": 2, "load_before": 0.1}, "commit": "abc1234",
        },
        "scores": {
            "dd_nnunet": {"level1": score(0.8)},
            "kmeans": {"level1": score(0.7)},
            "denoise-kmeans": {"level1": score(0.9)},
        },
    }  # fmt: skip
