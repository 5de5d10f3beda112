"""Runs in the rows of the paper's tables, made by hand."""

import numpy as np


def run_of(scores, seconds=60.0, **more):
    """A run with these `hsu` scores of two images at level 1."""
    images = {
        f"cell_{i}": {"hsu": score, "strict": {"0": score, "1": None}, "hd95_mm": {}}
        for i, score in enumerate(scores)
    }
    level = {
        "hsu": float(np.mean(scores)), "strict": 0.5, "foreground": 0.5, "hd95_mm": 2.0, "violation_rate": 0.01,
        "per_image": images,
    }  # fmt: skip
    machine = {"cpu": "a CPU", "threads": 2, "torch": "2.13.0"}
    return {"levels": {"1": level}, "seconds": seconds, "machine": machine, **more}


def trained(segmenter, diffusion):
    """What a run holds besides that took over another line's diffusion model: seconds of both networks."""
    finished = {"diffusion": {"device": "cpu"}, "levels": {"device": "cpu", "seconds": segmenter}}
    return {"finished": finished, "diffusion_seconds": diffusion}
