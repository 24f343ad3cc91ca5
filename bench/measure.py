"""Figures: pairs of measurements of Soil and its peer, and their summary."""

import statistics


class Figure:
    """One named figure. `runs` are [soil, peer] pairs, taken alternately, peer None if there is
    none.

    The ratio is computed for each pair, because the machine's speed drifts between pairs, and is
    above 1 whenever Soil is better.
    """

    # All figures created, from which a run learns the missing ones of a group that failed.
    made = []

    def __init__(self, name, unit, better):
        assert better in ("higher", "lower")
        self.name, self.unit, self.better = name, unit, better
        self.runs = []
        Figure.made.append(self)

    def add(self, soil, peer):
        self.runs.append([soil, peer])

    def ratios(self):
        pairs = [(s, p) for s, p in self.runs if s and p]
        return [s / p if self.better == "higher" else p / s for s, p in pairs]

    def result(self):
        soils = [s for s, _ in self.runs if s is not None]
        peers = [p for _, p in self.runs if p is not None]
        ratios = self.ratios()
        return {
            "name": self.name,
            "unit": self.unit,
            "better": self.better,
            "soil": rounded(statistics.median(soils)) if soils else None,
            "peer": rounded(statistics.median(peers)) if peers else None,
            "ratio": rounded(statistics.median(ratios)) if ratios else None,
            "runs": [[rounded(s), rounded(p)] for s, p in self.runs],
        }


def missing(known, reason):
    """The result of a figure that a run should have and lacks; `known` is one with its name and
    unit."""
    kept = {key: known[key] for key in ("name", "unit", "better")}
    return {**kept, "soil": None, "peer": None, "ratio": None, "runs": [], "missing": reason}


def rounded(value):
    """Four significant digits; integers unchanged."""
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.4g}")


def table(results):
    """The results as lines of a Markdown table."""
    lines = [
        "| figure | unit | better | Soil | peer | ratio: median (min–max, n) | run |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in results:
        ratio = f"no figure: {each['missing']}" if "missing" in each else "–"
        if each["ratio"] is not None:
            figure = Figure(each["name"], each["unit"], each["better"])
            figure.runs = each["runs"]
            ratios = figure.ratios()
            ratio = f"{each['ratio']:.2f}"
            if len(ratios) > 1:
                ratio += f" ({min(ratios):.2f}–{max(ratios):.2f}, {len(ratios)})"
        lines.append(
            f"| `{each['name']}` | {each['unit']} | {each['better']} | {shown(each['soil'])} |"
            f" {shown(each['peer'])} | {ratio} | {each['date']} {each['commit']} |"
        )
    return lines


def shown(value):
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,g}"
