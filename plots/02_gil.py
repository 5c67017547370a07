"""02_gil: who holds the lock; what threads gain under it; what a CPU-bound thread adds to a round trip."""
from axes import GREY, labels, reference, rounds, value_axis
from findings import cannot_tell, times
from results import Missing, read_trace
from series import Series
from style import CURVES, INK, LOOKS, Sheet
from timeline import locks, tracks, turns

LOCKS = {"new lock": "threads_under_gil", "old lock": "threads_under_old_gil"}


def timeline(result, form):
    """A track a thread and lock: filled while it holds the lock, a thin line while it waits."""
    runs = {lock: spans for lock, spans in locks(read_trace(result)).items() if lock in LOCKS}
    if not runs:
        raise Missing("the trace shows nobody holding a lock")
    said = []
    for lock, spans in runs.items():
        kept = turns([s for s in spans if s.name.endswith("holds")])
        often = f"changes hands every {kept[len(kept) // 2]:.2g} ms (at most {kept[-1]:.2g})" if kept else "never changes hands"
        said.append(f"the {lock} {often}")
    title = "; ".join(said)
    sheet = Sheet(result, form, title[0].upper() + title[1:], panels=len(runs), stacked=True, left=0.75, gap=0.5,
                  height=2.9, above=0.28,
                  key="filled: the thread holds the lock · thin line: it waits for it · one run of each, from the trace; "
                  "turns: median",
                  columns=("lock", "thread", "what", "start_ms", "length_ms"))
    for ax, (lock, spans) in zip(sheet.axes, runs.items()):
        sheet.rows += [(lock, *row) for row in tracks(ax, spans, LOOKS[LOCKS[lock]])]
        ax.set_xlim(0, (max(s.start + s.length for s in spans) - spans[0].start) / 1000 or 1)  # each lock at its own pace
        sheet.head(ax, lock[0].upper() + lock[1:])
    sheet.axes[-1].set_xlabel("milliseconds since the start, each lock at its own scale")
    return sheet


BARS = {"threads_under_gil": "threads,\nthe lock", "threads_under_old_gil": "threads,\nthe old lock",
        "threads_without_lock": "threads,\nno lock", "processes": "processes"}


def speed_up(result, form):
    """K countdowns side by side against the same K one after the other."""
    speed = {}
    for count in result.values("serial", "threads"):
        serial = result.series("serial", threads=count)
        bars = {f: serial.over(result.series(f, threads=count)) for f in BARS if result.series(f, threads=count)}
        if bars:
            speed[count] = bars
    if not speed:
        raise Missing("serial and nothing to compare it with at the same number of threads")
    count = max(speed)
    names = {"threads_under_gil": "threads under the lock", "processes": "processes"}
    shown = {words: speed[count][f] for f, words in names.items() if f in speed[count]}
    said = f"{count} " + f", {count} ".join(f"{words} {times(s.median)}" for words, s in shown.items()) + " the speed of serial"
    doubt = cannot_tell(min(shown.values(), key=lambda s: len(s.valid), default=Series()), said)
    sheet = Sheet(result, form, doubt or said, panels=len(speed), left=0.95, gap=0.4, right=0.45, height=3,
                  key="bar: median · whisker: its 95 % interval (6 valid rounds or more) · dots: valid rounds · "
                  "hollow crosses: invalid rounds")
    everything = [s for bars in speed.values() for s in bars.values()]
    cores = result.limits()[0]
    for ax, (count, bars) in zip(sheet.axes, speed.items()):
        value_axis(ax.xaxis, [v for s in everything for v in s.valid] + [1, max(min(n, cores or n) for n in speed)],
                   [v for s in everything for v in s.invalid])
        ax.set_ylim(len(BARS) - 0.4, -0.6)
        ideal = min(count, cores or count)
        for x, words in ((1, "serial"), (ideal, f"{ideal} cores")) if ideal > 1 else ((1, "serial"),):
            ax.axvline(x, color=GREY, ls=(0, (4, 3)), lw=0.8, zorder=1)
            ax.annotate(words, (x, 1), (0, 1), xycoords=("data", "axes fraction"), textcoords="offset points",
                        color=GREY, ha="center")
        start = ax.get_xlim()[0]
        for row, function in enumerate(BARS):
            series, look = bars.get(function, Series()), LOOKS[function]
            if series.valid:
                ax.barh(row - 0.12, series.median - start, 0.46, left=start, color=look.colour, alpha=0.9,
                        hatch=look.hatch, ec="white", lw=0)
                low, high = series.interval() or (series.median, series.median)
                ax.plot([low, high], [row - 0.12] * 2, color=INK, lw=1.1, marker="|", ms=5, zorder=6)
            ax.annotate(times(series.median) if series.valid else "not run" if not series else "no valid round",
                        (max(series.median or 0, *series.interval() or (0,), 0), row - 0.12), (6, 0),
                        textcoords="offset points", va="center", weight="bold", zorder=7,
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85})
            rounds(ax, row + 0.27, series, look, across=True, spread=0.025)
            sheet.add(f"{count} at once", function, count, series)
        ax.set_yticks(range(len(BARS)), list(BARS.values()) if ax is sheet.axes[0] else [])
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("speed over serial, higher is better")
        sheet.head(ax, f"{count} at once", " ")
    return sheet


def convoy(result, form):
    """What CPU-bound threads add to an I/O thread's round trip, against the switch interval."""
    alone = result.series("io_beside", "round_trip_us", cpu_threads=0, interval_us=5000).scaled(1e-3)
    added = {}
    for threads in (1, 2):
        trip = lambda i: result.series("io_beside", "round_trip_us", cpu_threads=threads, interval_us=i).scaled(1e-3)
        runs = {i: trip(i).minus(alone) for i in result.values("io_beside", "interval_us", cpu_threads=threads) if i > 0}
        if any(runs.values()):
            added[threads] = {i / 1000: s for i, s in runs.items() if s}
    if not added:
        raise Missing("no round trips beside CPU-bound threads, or none without")
    first = added[min(added)]
    at = min(first, key=lambda i: abs(i - 5))
    who = "One CPU-bound thread adds" if min(added) == 1 else "Two CPU-bound threads add"
    title = cannot_tell(first[at], f"{who} {first[at].median or 0:.3g} ms at a switch interval of {at:g} ms") or (
        f"{who} {first[at].median:.3g} ms to a round trip of {alone.median:.2g} ms at a switch interval of {at:g} ms")
    sheet = Sheet(result, form, title, right=1.2, height=3.2, left=0.55, key=CURVES + "one interval")
    ax = sheet.axes[0]
    points = [v for runs in added.values() for s in runs.values() for v in s.valid]
    intervals = sorted({i for runs in added.values() for i in runs})
    above = [v for v in points if v > 0]
    doubtful = [v for runs in added.values() for s in runs.values() for v in s.invalid if v > 0]
    value_axis(ax.yaxis, above + intervals, doubtful)
    value_axis(ax.xaxis, intervals)
    reference(ax, ax.get_xlim(), ax.get_xlim())
    ax.annotate("one interval", (intervals[len(intervals) // 2],) * 2, (8, -12), textcoords="offset points", color=GREY)
    for threads, runs in added.items():
        sheet.curve(ax, "added latency", f"{threads} CPU-bound", runs, LOOKS[f"io_beside/cpu_threads:{threads}"])
    labels(ax, [(max(runs), runs[max(runs)].median or max(runs), f"{t} CPU-bound\nthread{'s' * (t > 1)}",
                 LOOKS[f"io_beside/cpu_threads:{t}"]) for t, runs in added.items()], sheet.form.text)
    ax.set_xticks(intervals)
    ax.set_xlabel("switch interval, milliseconds")
    below = len(points) - len(above)
    edge = f" ({below} rounds at or below 0 stand on the edge)" if below else ""
    sheet.head(ax, "Added to the I/O thread's round trip", "milliseconds, lower is better" + edge)
    return sheet


FIGURES = (timeline, speed_up, convoy)
