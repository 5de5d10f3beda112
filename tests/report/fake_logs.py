"""Logs as training writes them, small and deterministic."""

import math


def diffusion_log(n_epochs=30):
    return [
        {
            "epoch": epoch,
            "iteration": 50 * (epoch + 1),
            "loss": 0.05 + 0.4 * math.exp(-epoch / 4),
            "val_loss": 0.06 + 0.4 * math.exp(-epoch / 4) + 0.004 * math.sin(epoch),
            "learning_rate": 1e-4,
            "seconds": 11.0 + math.sin(3 * epoch),
        }
        for epoch in range(n_epochs)
    ]


def level_log(n_parts=4, n_epochs=20, warm_epochs=4, dies=False):
    return [_level_entry(epoch, n_parts, n_epochs, warm_epochs, dies) for epoch in range(n_epochs)]


def _level_entry(epoch, n_parts, n_epochs, warm_epochs, dies):
    warm = epoch < warm_epochs
    alive = n_parts - 1 if dies and epoch > warm_epochs else n_parts
    weights = [1.0 / (part + 1) ** 2 if part < alive else 0.0 for part in range(n_parts)]
    shares = [weight / sum(weights) for weight in weights]
    falling = math.exp(-epoch / 6)
    losses = {
        "feature": 0.35 + 0.3 * falling,
        "visual": 0.2 + 0.2 * falling,
        "invariance": 0.02 + 0.1 * falling,
    }
    return {
        "epoch": epoch,
        "phase": "warm_start" if warm else "discovery",
        "total": 1.4 * math.exp(-epoch / 3) if warm else sum(losses.values()),
        "cross_entropy": 1.4 * math.exp(-epoch / 3) if warm else None,
        **{name: None if warm else value for name, value in losses.items()},
        "mean_max_probability": 0.95 - 0.4 * falling,
        "effective_parts": math.exp(-sum(s * math.log(s) for s in shares if s > 0)),
        "alive_parts": alive,
        "part_shares": shares,
        "reseeded": [n_parts - 1] if dies and epoch == warm_epochs + 3 else [],
        "selected": epoch in (warm_epochs, n_epochs - 4),
        "seconds": 3.5,
    }
