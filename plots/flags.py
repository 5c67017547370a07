"""What a candidate costs against the poll interval: one figure for all labs whose workers poll a flag."""
from axes import reference, value_axis
from findings import verdict
from results import Missing
from style import CURVES, LOOKS, Sheet


def ns_a_candidate(result, function, **args):
    """The rounds of one variant: nanoseconds a worker needed for each of its candidates."""
    counters = [result.series(function, counter, **args) for counter in ("candidates", "workers")]
    each = counters[0].paired(counters[1], lambda candidates, workers: candidates / workers)
    return result.series(function, **args).paired(each, lambda time, candidates: time / candidates)


def against_interval(result, form, claim, flags, alone=()):
    """flags {function: name} are curves over all intervals; alone {function: name} were run at few, and are marks."""
    bare = ns_a_candidate(result, "no_flag")
    runs = {f: {n: ns_a_candidate(result, f, every=n) for n in result.values(f, "every") if n > 0} for f in (*flags, *alone)}
    runs = {f: {n: s for n, s in by_interval.items() if s} for f, by_interval in runs.items()}
    if not bare or not runs[next(iter(flags))]:
        raise Missing(f"it takes no_flag and {next(iter(flags))}")
    sheet = Sheet(result, form, verdict(result, claim), height=3.6, right=1.5, left=0.7, below=0.5, key=CURVES + "no flag")
    ax = sheet.axes[0]
    value_axis(ax.yaxis, [v for by_interval in runs.values() for s in by_interval.values() for v in s.calm] + bare.calm)
    intervals = sorted({n for by_interval in runs.values() for n in by_interval})
    ax.set_xscale("log")
    ax.set_xlim(intervals[0] / 1.6, intervals[-1] * 1.6)
    ticks = [n for n in intervals if str(n).strip("0") == "1"]
    ax.set_xticks(ticks, [f"{n:,}" for n in ticks])
    ax.set_xticks([], minor=True)
    reference(ax, intervals, [bare.median] * len(intervals))
    sheet.add("a candidate", "no_flag", "", bare)
    for function, by_interval in runs.items():
        look = LOOKS[function]
        if function in flags:
            sheet.curve(ax, "a candidate", function, by_interval, look)
        for n, series in by_interval.items() if function not in flags else ():
            ax.plot([n], [series.median], color=look.colour, marker=look.marker, ms=5, mfc="none", ls="", zorder=5)
            sheet.add("a candidate", function, n, series)
    names = {**flags, **dict(alone)}
    keys = [ax.plot([], [], color=LOOKS[f].colour, marker=LOOKS[f].marker, ls=LOOKS[f].line if f in flags else "", ms=4,
                    mfc=LOOKS[f].colour if f in flags else "none", label=names[f])[0] for f, run in runs.items() if run]
    ax.legend(handles=keys, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, handlelength=2.6)
    ax.set_xlabel("candidates from one poll to the next")
    sheet.head(ax, "A candidate, polls included", "nanoseconds, lower is better")
    return sheet
