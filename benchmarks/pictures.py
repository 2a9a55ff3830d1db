"""The figures of ``benchmarks/results/`` as pictures of the documentation: ``python -m benchmarks.pictures``.

Nothing is measured here.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

from benchmarks._published import METRICS, PUBLISHED
from benchmarks._svg import blank, save
from benchmarks.quality import RESULTS

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"

OURS, THEIRS = "tab:blue", "lightgrey"

KINDS = {"two-tower": "tab:blue", "recurrent": "tab:purple", "linear": "tab:green"}

STAGES = {
    "intake": "tab:orange", "linear": "tab:green", "towers": "tab:blue", "publish": "tab:red", "als": "black",
}  # fmt: skip
"""The stages of ``benchmarks.scale`` whose time is shown."""

SHOWN = {
    "popularity": "popularity",
    "ease": "EASEEncoder",
    "linear": "LinearSequenceEncoder",
    "two-tower": "TwoTowerEncoder, decaying sums",
    "recurrent": "TwoTowerEncoder, recurrent",
    "two-tower+recurrent+linear+ease": "ensemble()",
}
"""Our models, by the names of the benchmark."""


def quality(results: Path) -> dict[str, list[float]]:
    """NDCG@10 of each of our models in P1, one figure a seed; of a part of a combined one, as it was measured there."""
    found: dict[str, list[float]] = {}
    read = [json.loads(file.read_text())["runs"] for file in sorted(results.glob("quality-p1-*-256.json"))]
    runs: list[dict[str, Any]]
    for runs in sorted(read, key=lambda runs: "members" in runs[0]):
        for name in dict.fromkeys(run["encoder"] for run in runs):
            mine = [run for run in runs if run["encoder"] == name]
            found[name] = [run["metrics"]["ndcg@10"] for run in mine]
            if mine[0].get("members"):
                for place, member in enumerate(name.split("+")):
                    parts = [run["members"][place] for run in mine]
                    found[parts[0].get("name", member)] = [part["ndcg@10"] for part in parts]
    return found


def draw_ablation(results: Path, path: Path) -> None:
    """Each variant of the encoders, those of one kind together, in the order in which they build on each other."""
    runs = json.loads((results / "ablation.json").read_text())["runs"][::-1]
    figure = blank(8.5, 0.3 * len(runs) + 0.9)
    pane = figure.subplots()
    heights = [run["test"]["ndcg@10"] for run in runs]
    shown = pane.barh([run["variant"] for run in runs], heights, color=[KINDS[run["encoder"]] for run in runs])
    pane.bar_label(shown, labels=[f"{height:.4f}" for height in heights], padding=6, fontsize=8)
    pane.set_xlabel("NDCG@10, MovieLens 1M, protocol P1, one seed")
    pane.spines[["top", "right"]].set_visible(False)
    pane.set_xlim(0, 1.12 * max(heights))
    save(figure, path)


def draw_quality(results: Path, path: Path) -> None:
    """Our models among the published ones, the best on top."""
    place = METRICS["P1"].index("ndcg@10")
    bars = [(name, values[place] or 0.0, 0.0, THEIRS) for name, values in PUBLISHED["P1"].items()]
    for name, figures in quality(results).items():
        if name in SHOWN:
            spread = statistics.stdev(figures) if len(figures) > 1 else 0.0
            bars.append((SHOWN[name], statistics.mean(figures), spread, OURS))
    bars.sort(key=lambda bar: bar[1])
    figure = blank(8.5, 0.36 * len(bars) + 0.9)
    pane = figure.subplots()
    names, heights, spreads, colours = zip(*bars)
    shown = pane.barh(names, heights, xerr=spreads, color=colours, error_kw={"elinewidth": 1})
    pane.bar_label(shown, labels=[f"{height:.4f}" for height in heights], padding=6, fontsize=8)
    pane.set_xlabel("NDCG@10, MovieLens 1M, protocol P1 (grey: published)")
    pane.spines[["top", "right"]].set_visible(False)
    pane.set_xlim(0, 1.12 * max(heights))
    save(figure, path)


def draw_scale(results: Path, path: Path) -> None:
    """Time and memory of each stage by the size of the catalogue, with what grows as n log n for comparison."""
    runs = json.loads((results / "scale.json").read_text())["runs"]
    runs = [run for run in runs if run["events"] == 10 * run["items"]]
    sizes = [run["items"] for run in runs]
    figure = blank(8.5, 4.2)
    for pane, key, label in zip(
        figure.subplots(1, 2), ("processor", "gb"), ("seconds of one processor", "GB resident at most")
    ):
        for stage, colour in STAGES.items():
            points = [(run["items"], run["stages"][stage][key]) for run in runs if stage in run["stages"]]
            pane.plot(*zip(*points), "o-", color=colour, label=stage)
        pane.set(xscale="log", yscale="log", xlabel="items, with ten times the events", ylabel=label)
        pane.spines[["top", "right"]].set_visible(False)
        if key == "processor":
            guide = [size * math.log(size) for size in sizes]
            pane.plot(sizes, [value / guide[0] for value in guide], ":", color="grey", label="n log n")
            figure.legend(loc="outside lower center", ncols=len(STAGES) + 1, frameon=False, fontsize=8)
    save(figure, path)


def main() -> None:
    """Draw everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=PICTURES)
    args = parser.parse_args()
    draw_quality(args.results, args.out / "quality.svg")
    draw_ablation(args.results, args.out / "ablation.svg")
    draw_scale(args.results, args.out / "scale.svg")


if __name__ == "__main__":
    main()
