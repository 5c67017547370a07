"""02_gil: who holds the lock; what threads gain under it; what a CPU-bound thread adds to a round trip."""
from axes import GREY, labels, reference, rounds, value_axis
from findings import times, verdict
from results import Missing, read_trace
from series import Series
from style import CURVES, DOTS, LOOKS, Sheet
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
    sheet = Sheet(result, form, verdict(result, "gil.no_speedup"), panels=len(speed), left=0.95, gap=0.4, right=0.45, height=3,
                  key=f"bar: median of the calmest rounds · whisker: their 10th to 90th percentile · {DOTS}")
    everything = [s for bars in speed.values() for s in bars.values()]
    cores = result.limits()[0]
    for ax, (count, bars) in zip(sheet.axes, speed.items()):
        value_axis(ax.xaxis, [v for s in everything for v in s.calm] + [1, max(min(n, cores or n) for n in speed)])
        ax.set_ylim(len(BARS) - 0.4, -0.6)
        ideal = min(count, cores or count)
        for x, words in ((1, "serial"), (ideal, f"{ideal} cores")) if ideal > 1 else ((1, "serial"),):
            ax.axvline(x, color=GREY, ls=(0, (4, 3)), lw=0.8, zorder=1)
            ax.annotate(words, (x, 1), (0, 1), xycoords=("data", "axes fraction"), textcoords="offset points",
                        color=GREY, ha="center")
        start = ax.get_xlim()[0]
        for row, function in enumerate(BARS):
            series, look = bars.get(function, Series()), LOOKS[function]
            if series:
                sheet.bar(ax, row, series, look, start)
            ax.annotate(times(series.median) if series else "not run",
                        (series.percentile(90) or 0, row - 0.12), (6, 0),
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
    alone = result.series("io_beside", "round_trip_s", cpu_threads=0, interval_us=5000).scaled(1e3)
    added = {}
    for threads in (1, 2):
        trip = lambda i: result.series("io_beside", "round_trip_s", cpu_threads=threads, interval_us=i).scaled(1e3)
        runs = {i: trip(i).minus(alone) for i in result.values("io_beside", "interval_us", cpu_threads=threads) if i > 0}
        if any(runs.values()):
            added[threads] = {i / 1000: s for i, s in runs.items() if s}
    if not added:
        raise Missing("no round trips beside CPU-bound threads, or none without")
    sheet = Sheet(result, form, verdict(result, "gil.convoy"), right=1.2, height=3.2, left=0.55, key=CURVES + "one interval")
    ax = sheet.axes[0]
    points = [v for runs in added.values() for s in runs.values() for v in s.calm]
    intervals = sorted({i for runs in added.values() for i in runs})
    above = [v for v in points if v > 0]
    value_axis(ax.yaxis, above + intervals)
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
