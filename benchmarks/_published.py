"""Figures that others have published, or that were measured with their code, to stand beside ours."""

from __future__ import annotations

__all__ = ["METRICS", "PUBLISHED"]

METRICS = {
    "P1": ("hit_rate@10", "ndcg@10", "hit_rate@50", "hit_rate@200"),
    "P1t": ("hit_rate@10", "ndcg@10", "hit_rate@50", "hit_rate@200"),
    "P2": ("hit_rate@10", "ndcg@10"),
    "P3": ("ndcg@10",),
    "P4": ("hit_rate@10", "ndcg@10"),
    "P5": ("hit_rate@10", "ndcg@10"),
}
"""What a protocol's table shows."""

PUBLISHED: dict[str, dict[str, tuple[float | None, ...]]] = {
    "P1": {
        "RecTools SASRec": (0.2877, 0.1622, 0.5518, 0.7632),
        "RecTools HSTU, position only": (0.3023, 0.1718, 0.5702, 0.7720),
        "RecTools HSTU": (0.3227, 0.1879, 0.5894, 0.7858),
        "Meta SASRec (unstable sort)": (0.2853, 0.1603, 0.5474, 0.7528),
        "Meta HSTU (unstable sort)": (0.3097, 0.1720, 0.5754, 0.7716),
        "Meta HSTU-large (unstable sort)": (0.3294, 0.1893, 0.5935, 0.7839),
        "RecTools SASRec, measured on this data": (0.2816, 0.1584, 0.5331, None),
    },
    "P1t": {"RecTools HSTU-large, told the time": (0.3642, 0.2164, 0.6194, 0.8031)},
    "P2": {
        "NeuMF": (0.7093, 0.4349),
        "SLIM": (0.7162, 0.4468),
        "EASE": (0.7192, 0.4494),
        "tuned iALS": (0.7310, 0.4521),
    },
    "P3": {"ItemKNN": (0.258,), "ALS": (0.265,)},
    "P4": {},
    "P5": {
        "BSARec": (0.1008, 0.0611),
        "HSTU": (0.0945, 0.0543),
        "eSASRec": (0.0928, 0.0523),
        "SASRec with sampled softmax": (0.0921, 0.0531),
        "ActionPiece": (0.0775, 0.0424),
        "TIGER": (0.0704, 0.0388),
    },
}
"""By protocol and model, in the order of `METRICS`."""
