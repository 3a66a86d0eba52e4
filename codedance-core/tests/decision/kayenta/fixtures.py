"""Writes fixtures.json: what SciPy says about pairs of series, for the tests of `mann_whitney::compare`.

    pip install scipy==1.17.1 numpy==2.4.6
    python3 fixtures.py

Each case is one line: the points of both sides (null for one that is missing), the settings that are
not the defaults, and what is expected. The random cases are seeded: running it again changes nothing.

As a second opinion, `by_roots` decides the way Kayenta itself does, by looking for the ends of the
confidence interval as roots; the script ends with an error unless both agree on every case in which the
shift is not 0. (There, Kayenta's answer depends on the last step of its search. The shift itself is not
looked for: between few pairs there are many roots, of which the median is one.)
"""

import json
import math
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.stats import mannwhitneyu, norm, rankdata

TOLERANCE, DOUBT = 0.25, 0.01


def clean(points, missing, outlier_factor):
    points = np.array([math.nan if p is None else p for p in points], dtype=float)
    if missing == "replace":
        points = np.where(np.isnan(points), 0.0, points)
    points = points[~np.isnan(points)]
    if outlier_factor is not None and len(points):
        p1, q1, q3, p99 = np.percentile(points, [1, 25, 75, 99], method="weibull")
        low = min(p1, q1 - outlier_factor * (q3 - q1))
        high = max(p99, q3 + outlier_factor * (q3 - q1))
        points = points[(points >= low) & (points <= high)]
    return points


def spread(points, noise=None):
    """A constant with the quantiles of its noise, or with noise that was drawn."""
    if noise is None:
        noise = norm.ppf((np.arange(len(points)) + 0.5) / len(points))
    return points + 1e-5 * np.abs(points) * noise


def size(x, y, measure):
    if measure == "cles":
        m, n = len(x), len(y)
        return (2 * rankdata(np.concatenate([x, y]))[:m].sum() - m * (m + 1)) / (2 * n * m)
    if np.mean(x) == 0 or np.mean(y) == 0:
        return math.nan
    return np.mean(x) / np.mean(y)


def one_sided(x, y):
    shift = float(np.median(x[:, None] - y[None, :]))
    test = dict(method="asymptotic")
    with np.errstate(divide="ignore", invalid="ignore"):
        above = mannwhitneyu(x - TOLERANCE * abs(shift), y, alternative="greater", **test).pvalue
        below = mannwhitneyu(x + TOLERANCE * abs(shift), y, alternative="less", **test).pvalue
    return shift, float(above), float(below)


def by_roots(x, y, tolerated):
    """Whether Kayenta would call it high, and whether low, before it looks at the effect."""

    def excess(shift, z):
        ranks = rankdata(np.concatenate([x - shift, y]))
        m, n = len(x), len(y)
        dz = ranks[:m].sum() - m * (m + 1) / 2 - m * n / 2
        _, ties = np.unique(ranks, return_counts=True)
        ties = (ties.astype(float) ** 3 - ties).sum()
        deviation = math.sqrt(m * n / 12 * (m + n + 1 - ties / ((m + n) * (m + n - 1))))
        return (dz - 0.5 * np.sign(dz)) / deviation - z

    low, high = x.min() - y.max(), x.max() - y.min()

    def root(z):
        if excess(low, z) <= 0:
            return low
        if excess(high, z) >= 0:
            return high
        return brentq(excess, low, high, args=(z,), xtol=1e-9 * max(1e-300, high - low), maxiter=1000)

    z = norm.ppf(1 - DOUBT)
    return root(z) > tolerated, root(-z) < -tolerated


checked, differing = 0, []


def expect(case):
    """What `compare` must say of a case."""
    global checked
    missing = case.get("missing", "remove")
    x, y = (clean(case[side], missing, case.get("outlier_factor")) for side in ("canary", "stable"))
    nothing = dict(shift=0.0, p_value=1.0, effect=None)
    if not len(x) or not len(y):
        return dict(nothing, **{"class": "Pass" if missing == "replace" else "NoData"})
    if np.array_equal(np.sort(x), np.sort(y)) or len(np.unique(np.concatenate([x, y]))) == 1:
        return dict(nothing, **{"class": "Pass"})
    constant = len(np.unique(x)) == 1 and len(np.unique(y)) == 1
    if constant:
        x, y = spread(x), spread(y)
        if len(np.unique(x)) == 1 and len(np.unique(y)) == 1:
            # A shift makes all points equal; Kayenta gives up, and the metric does not count.
            return dict(nothing, **{"class": "Pass"})
    measure = case.get("measure", "mean_ratio")
    shift, above, below = one_sided(x, y)
    effect = size(x, y, measure)
    direction = case.get("direction", "either")
    usual = 0.5 if measure == "cles" else 1.0
    rises = math.isnan(effect) or effect >= case.get("allowed_increase", usual)
    falls = math.isnan(effect) or effect <= case.get("allowed_decrease", usual)
    # The interval ends where the sides do not overlap any more, however few points there are.
    tolerated = TOLERANCE * abs(shift)
    is_high = above < DOUBT or x.min() - y.max() > tolerated
    is_low = below < DOUBT or x.max() - y.min() < -tolerated
    label = "Pass"
    if is_high and direction != "decrease" and rises:
        label = "High"
    elif is_low and direction != "increase" and falls:
        label = "Low"
    if shift != 0.0:
        checked += 1
        if by_roots(x, y, tolerated) != (is_high, is_low):
            differing.append(case["name"])
    return {
        "class": label,
        "shift": shift,
        "p_value": min(above, below),
        "effect": None if math.isnan(effect) else float(effect),
    }


def issues():
    """Series that users have puzzled over in public: kayenta #426, #780, #799 and spinnaker #5622, #6278."""
    yield dict(name="kayenta 426: sparse errors", canary=[0, 1, 2, 1, 0, 0], stable=[0] * 6)
    yield dict(
        name="kayenta 780: another shape",
        canary=[10, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17, 17.1, 17.2, 17.3, 17.4, 17.5, 17.6, 17.7],
        stable=[1, 100, 4, 101, 5, 102, 6, 103, 7, 104, 8, 105, 9, 106, 17],
    )
    yield dict(name="kayenta 799: no errors before", canary=[1, 4, 2, 3, 1], stable=[0] * 5)
    sparse = [1, None, None, None, None, 2, None, None, None, None] * 2 + [1, None, None, None, None]
    for missing in ("remove", "replace"):
        for name, stable in [("nothing", [None] * 25), ("zeros", [0] * 25)]:
            yield dict(name=f"kayenta 799: {name}, {missing}", canary=sparse, stable=stable, missing=missing)
    yield dict(
        name="spinnaker 5622: redirects",
        canary=[None, 0.048, None, 0.18, 0.089, None, 0.098, 0.035, None, None],
        stable=[None] * 10,
        missing="replace",
        direction="increase",
    )
    for high in (6, 7, 8, 10):
        canary = [100] * high + [1] * (10 - high)
        yield dict(name=f"spinnaker 6278: {high} of 10", canary=canary, stable=[1] * 10)


def by_hand():
    for size_x, size_y in [(0, 0), (0, 5), (5, 0), (1, 1), (1, 60), (60, 1), (2, 2), (5, 5), (6, 6), (60, 60)]:
        for a, b in [(1, 1), (2, 1), (1, 2), (0, 1), (1, 0), (-1, -2), (1 + 1e-7, 1), (1e-9, 2e-9)]:
            yield dict(name=f"constants {a} × {size_x}, {b} × {size_y}", canary=[a] * size_x, stable=[b] * size_y)
    ramp = [float(i) for i in range(20)]
    for name, x, y in [
        ("the same in another order", ramp[::-1], ramp),
        ("a step up", [v + 8 for v in ramp], ramp),
        ("a step down", [v - 8 for v in ramp], ramp),
        ("apart", [v + 100 for v in ramp], ramp),
        ("tiny", [1e-12 * (v + 9) for v in ramp], [1e-12 * v for v in ramp]),
        ("huge", [1e300 * (v + 9) for v in ramp], [1e300 * v for v in ramp]),
        ("below 0, less so", [v - 30 for v in ramp], [v - 60 for v in ramp]),
        ("around 0", [v - 9.5 for v in ramp], [v - 19.5 for v in ramp]),
        ("one side constant", [5.0] * 20, ramp),
        ("all ties but one", [1.0] * 19 + [2.0], [1.0] * 20),
        ("a median of 0", [0.0] * 35 + [1.0] * 25, [0.0] * 60),
        ("a median of 0, the other way", [0.0] * 60, [0.0] * 35 + [1.0] * 25),
        ("only gaps", [None] * 6, [1.0] * 6),
        ("gaps", [v if i % 3 else None for i, v in enumerate(ramp)], [None, None] + ramp),
    ]:
        for direction in ("either", "increase", "decrease"):
            for missing in ("remove", "replace"):
                yield dict(name=name, canary=x, stable=y, direction=direction, missing=missing)


def at_random():
    rng = np.random.default_rng(20_261_121)
    shapes = {
        "normal": lambda n: rng.normal(10, 2, n),
        "lognormal": lambda n: rng.lognormal(-2.5, 0.6, n),
        "sparse": lambda n: rng.poisson(0.3, n) / 100.0,
        "rate": lambda n: rng.binomial(600, 0.005, n) / 600.0,
        "ties": lambda n: rng.integers(0, 4, n).astype(float),
        "either sign": lambda n: rng.normal(0, 1, n),
        "heavy": lambda n: rng.standard_cauchy(n),
    }
    for index in range(420):
        shape = list(shapes)[index % len(shapes)]
        longest = 60 if index % 6 == 0 else 16
        sizes = rng.integers(1, longest + 1, 2)
        x, y = (shapes[shape](int(n)) for n in sizes)
        change = rng.choice(["none", "shift", "scale", "scale down"])
        x = {
            "none": x,
            "shift": x + rng.uniform(-3, 3) * max(np.std(x), 0.01),
            "scale": x * rng.uniform(1, 4),
            "scale down": x * rng.uniform(0.2, 1),
        }[change]
        case = dict(name=f"{index}: {shape}, {change}")
        for side, points in (("canary", x), ("stable", y)):
            points = [float(f"{p:.5g}") for p in points]
            case[side] = [None if rng.random() < 0.05 and index % 4 == 0 else p for p in points]
        if index % 5 == 1:
            case["direction"] = str(rng.choice(["increase", "decrease"]))
        if index % 8 == 2:
            case["missing"] = "replace"
        if index % 4 == 3:
            case["outlier_factor"] = float(rng.choice([0.5, 1.5, 3.0]))
        if index % 3 == 1:
            case["measure"] = "cles"
        if index % 3 == 2:
            cles = case.get("measure") == "cles"
            case["allowed_increase"] = 0.8 if cles else 1.3
            case["allowed_decrease"] = 0.2 if cles else 0.7
        yield case


cases = [dict(case, expected=expect(case)) for make in (issues, by_hand, at_random) for case in make()]
lines = ",\n".join(json.dumps(case, allow_nan=False, separators=(",", ":")) for case in cases)
Path(__file__).with_name("fixtures.json").write_text(f"[\n{lines}\n]\n")
labels = [case["expected"]["class"] for case in cases]
print({label: labels.count(label) for label in sorted(set(labels))})
print(f"{len(cases)} cases; by roots, {checked - len(differing)} of {checked} are the same")
if differing:
    raise SystemExit(f"differing: {differing}")
