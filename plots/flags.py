"""What a candidate costs against the poll interval: one figure for all labs whose workers poll a flag, and one of all their flags."""
from axes import GREY, reference, value_axis
from findings import verdict
from results import Missing, read
from style import BLACK, CURVES, LOOKS, SKY, YELLOW, Look, Sheet

LABS = ("13_manager_value", "14_raw_value", "15_mmap_flag", "16_redis_flag")
PACES = {"": "C++'s pace", "_python": "Python's pace, 75 ns a candidate"}  # what the variants' names end in
MORE_LOOKS = (Look(BLACK, "X", (0, (6, 1.5))), Look(YELLOW, "*"), Look(GREY, "h", (0, (1, 1))), Look(SKY, "s", (0, (4, 1.5, 1, 1.5))))  # of flags without one of their own


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
    intervals = interval_axis(ax, runs)
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
    sheet.head(ax, "A candidate, polls included", "nanoseconds, lower is better")
    return sheet


def interval_axis(ax, runs, most_ticks=7):
    """The poll intervals of these {flag: {interval: ...}}, ascending, as a logarithmic axis."""
    intervals = sorted({n for by_interval in runs.values() for n in by_interval})
    ax.set_xscale("log")
    ax.set_xlim(intervals[0] / 1.6, intervals[-1] * 1.6)
    ticks = [n for n in intervals if str(n).strip("0") == "1"]
    ticks = ticks[::-(-len(ticks) // most_ticks)]
    ax.set_xticks(ticks, [f"{n:,}" for n in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("candidates from one poll to the next")
    return intervals


def records_of(result, lab, pace):
    """Beside this record that of another lab, and what the names of its variants at that pace end in; None where there is none.
    A lab that measures at one pace only has another record of a run at the other."""
    for name, ending in ((lab, pace), (f"{lab}.pace=python", "")) if pace else ((lab, ""),):
        path = result.path.with_name(f"{name}.json")
        record = result if path == result.path else read(path) if path.exists() else None
        if record and ns_a_candidate(record, "no_flag" + ending):
            return record, ending
    return None


def curves_of(record, ending):
    """{flag: {interval: rounds}} of the flags that a record has at three intervals or more."""
    found = {}
    for function, args in record.runs:
        names = dict(args)
        if set(names) == {"every"} and names["every"] > 0 and function.endswith("_python") == bool(ending):
            found.setdefault(function, {})[names["every"]] = ns_a_candidate(record, function, every=names["every"])
    found = {f: {n: runs[n] for n in sorted(runs) if runs[n]} for f, runs in found.items()}
    return {f: runs for f, runs in sorted(found.items()) if len(runs) >= 3}


def round_trip(runs, work):
    """What one poll costs, in nanoseconds: from the interval 1000 where it shows there, else from the shortest."""
    shown = runs.get(1000) and runs[1000].median > 1.1 * work
    interval = 1000 if shown else min(runs)
    return max(runs[interval].median - work, 0) * interval


def missing(found):
    """A sentence part that names the labs without a record at each pace; found {pace: labs}."""
    return " · ".join(f"missing at {words.split(',')[0]}: " + ", ".join(f"lab {lab[:2]}" for lab in LABS if lab not in found[pace])
                      for pace, words in PACES.items() if set(LABS) - set(found[pace]))


def every_flag(result, form):
    """All flags there is a record of beside this one, at both paces; the model, and from which interval on a flag pays."""
    panels = {pace: {lab: at for lab in LABS if (at := records_of(result, lab, pace))} for pace in PACES}
    shown = {pace: by_lab for pace, by_lab in panels.items() if any(curves_of(*at) for at in by_lab.values())}
    if not shown:
        raise Missing("no lab with a flag was run")
    key = "line: median · thin line: work + round trip / interval · dashed: no flag · dotted: one process without a flag; cross: from there on a flag pays"
    lacks = missing(panels)
    sheet = Sheet(result, form, verdict(result, "manager.poll_cost"), panels=len(shown), height=3.6, right=1.35, left=0.6, gap=0.5, below=0.5,
                  key=key + (f" · {lacks}" if lacks else ""))
    named, spare = {}, list(MORE_LOOKS)
    for ax, (pace, by_lab) in zip(sheet.axes, shown.items()):
        curves = {(lab, f): runs for lab, at in by_lab.items() for f, runs in curves_of(*at).items()}
        works = {lab: ns_a_candidate(record, "no_flag" + ending).median for lab, (record, ending) in by_lab.items()}
        workers = max(record.series(f, "workers", every=min(runs)).median or 1
                      for lab, (record, ending) in by_lab.items() for f, runs in curves_of(record, ending).items())
        work = min(works.values())
        value_axis(ax.yaxis, [v for runs in curves.values() for s in runs.values() for v in s.calm] + [work, work * workers])
        intervals = interval_axis(ax, curves, most_ticks=4)
        reference(ax, intervals, [work] * len(intervals))
        reference(ax, intervals, [work * workers] * len(intervals), look={"ls": (0, (1, 2))})
        for (lab, function), runs in curves.items():
            flag = function.removesuffix("_python")
            if flag not in named:
                usual = LOOKS.get(flag)  # unless another lab's flag has the same
                named[flag] = usual if usual and usual not in named.values() else spare.pop(0) if spare else Look(GREY, ".")
            look, trip = named[flag], round_trip(runs, works[lab])
            sheet.curve(ax, PACES[pace], flag, runs, look, 3)
            between = [intervals[0] * (intervals[-1] / intervals[0]) ** (k / 60) for k in range(61)]
            ax.plot(between, [works[lab] + trip / n for n in between], color=look.colour, lw=0.5, zorder=2)
            pays = trip / (works[lab] * (workers - 1)) if workers > 1 else 0
            if intervals[0] <= pays <= intervals[-1]:
                ax.plot([pays], [work * workers], color=look.colour, marker="x", ms=6, mew=1.4, ls="", zorder=7)
                sheet.rows.append((PACES[pace], f"{flag} pays from here on", pays, "", work * workers, ""))
        sheet.head(ax, PACES[pace], "nanoseconds a candidate, lower is better")
    keys = [sheet.axes[-1].plot([], [], color=look.colour, marker=look.marker, ls=look.line, ms=4, label=flag)[0]
            for flag, look in named.items()]
    sheet.axes[-1].legend(handles=keys, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, handlelength=2.4)
    return sheet
