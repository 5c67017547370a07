"""01_cores: time against workers; a serial share against Amdahl's law; a drawing of the machine."""
import math

from axes import GREY, PALE, labels, reference, value_axis, worker_axis
from findings import unit, verdict
from results import Missing
from series import Series
from style import CURVES, LOOKS, Sheet
from topology import machine

JOBS = {"equal_jobs": 8, "small_jobs": 128}  # at least; the lab takes the next multiple of its own workers


def workers(result, form):
    """Eight equal jobs and 128 small ones: seconds against workers, and the ideal."""
    runs = {f: {n: result.series(f, workers=n) for n in result.values(f, "workers") if n > 0} for f in JOBS}
    runs = {f: r for f, r in runs.items() if r}
    if not runs.get("equal_jobs"):
        raise Missing("no run of equal_jobs")
    serial = result.series("serial") or runs["equal_jobs"][min(runs["equal_jobs"])]
    sheet = Sheet(result, form, verdict(result, "cores.linear"), panels=len(runs))
    for ax, (function, by_count) in zip(sheet.axes, runs.items()):
        known = [v for s in by_count.values() for v in s.calm]
        factor, name = unit(known)
        by_count = {n: s.scaled(factor) for n, s in by_count.items()}
        one = serial.scaled(factor).median if function == "equal_jobs" else by_count[min(by_count)].median
        own = result.workers() or 1
        first, jobs = min(by_count), math.ceil(JOBS[function] / own) * own
        value_axis(ax.yaxis, [v * factor for v in known] + ([one / min(jobs, max(by_count))] if one else []))
        worker_axis(ax, list(by_count), result.limits())
        if one:  # jobs are not cut in pieces: 8 of them on 3 workers take three turns
            scale = one * (1 if function == "equal_jobs" else first)
            xs = range(first, min(max(by_count), 4096) + 1)
            reference(ax, list(xs), [scale * math.ceil(jobs / n) / jobs for n in xs])
        panel = f"{jobs} {function.replace('_', ' ')}"
        sheet.head(ax, panel, f"{name}, lower is better")
        sheet.curve(ax, panel, function, by_count, LOOKS[function])
        if function == "equal_jobs":
            sheet.add(panel, "serial", "", result.series("serial").scaled(factor))
    return sheet


def law(percent, workers):
    return 1 / (percent / 100 + (1 - percent / 100) / workers)


def amdahl(result, form):
    """A job of which a share is serial: speed-up over one worker, and how far that is from Amdahl's law."""
    speed = {}
    for percent in result.values("serial_share", "percent", workers=1):
        if f"serial_share/percent:{percent}" in LOOKS:
            one = result.series("serial_share", percent=percent, workers=1)
            counts = [n for n in result.values("serial_share", "workers", percent=percent) if n > 0]
            speed[percent] = {n: one.over(result.series("serial_share", percent=percent, workers=n)) for n in counts}
    counts = sorted({n for runs in speed.values() for n in runs})
    if len(counts) < 2:
        raise Missing("serial_share was not run with 1 worker and with more")
    sheet = Sheet(result, form, verdict(result, "cores.amdahl"), panels=2, right=0.15, gap=1.5, widths=(3, 2),
                  key=CURVES + "Amdahl's law · grey: 10 % around it")
    left, right = sheet.axes
    every = Series(p for runs in speed.values() for series in runs.values() for p in series)
    value_axis(left.yaxis, every.calm + [max(counts)])
    worker_axis(left, counts, result.limits(), top=False)
    most = counts[-1]
    ratios = [runs.get(most, Series()).scaled(1 / law(percent, most)) for percent, runs in speed.items()]
    value_axis(right.yaxis, [v for s in ratios for v in s.calm] + [0.85, 1.15], zero=False)
    right.axhspan(0.9, 1.1, color=PALE, alpha=0.35, lw=0, zorder=0)
    right.axhline(1, color=GREY, ls=(0, (4, 3)), lw=0.8, zorder=1)
    right.set_xlim(-0.6, len(speed) - 0.4)
    right.set_xticks(range(len(speed)), [f"{percent} %" for percent in speed])
    right.set_xlabel("serial share")
    ends = []
    for at, (percent, runs) in enumerate(speed.items()):
        look, xs = LOOKS[f"serial_share/percent:{percent}"], [1 + i * (most - 1) / 60 for i in range(61)]
        reference(left, xs, [law(percent, x) for x in xs])
        sheet.curve(left, "speed-up", f"{percent} % serial", runs, look)
        sheet.curve(right, f"measured / law, {most} workers", f"{percent} % serial", {at: ratios[at]}, look)
        end = max(runs)
        ceiling = f"at most {100 / percent:g}x" if percent else "no ceiling"
        ends.append((end, runs[end].median or law(percent, end), f"{percent} % serial,\n{ceiling}", look))
    sheet.head(left, "Speed-up over one worker", "times, higher is better")
    sheet.head(right, "Measured / law", f"ratio, {most} workers")
    labels(left, ends, sheet.form.text)
    return sheet


FIGURES = (workers, amdahl, machine)
