"""06_pool_map: tasks on workers over time, by each method; what an empty task costs."""
from axes import GREY, rounds, value_axis
from findings import verdict
from results import Missing, read_trace
from series import Series
from style import BLUE, DOTS, GREEN, ORANGE, PURPLE, SKY, VERMILLION, YELLOW, Look, Sheet

METHODS = {"apply": Look(VERMILLION, "v", hatch="////"), "apply_async": Look(ORANGE, "^", hatch="...."),
           "faithful_apply": Look(GREY, "<", hatch="\\\\"), "map_chunk_1": Look(SKY, "D", hatch="\\\\\\\\"), "map": Look(BLUE, "o"), "starmap": Look(YELLOW, "P", hatch="++++"),
           "imap": Look(GREEN, "s", hatch="----"), "imap_unordered": Look(PURPLE, "X", hatch="xxxx")}
LABELS = {"map_chunk_1": "map, chunk 1", "faithful_apply": "apply, CPython's"}
TRACED = {"apply": "apply", "apply_async": "apply_async", "map, chunks of 4": "map", "map, chunks of 1": "map_chunk_1",
          "imap": "imap", "imap_unordered": "imap_unordered"}


def timeline(result, form):
    """A track a worker: the same twelve tasks by each method, one method after the other."""
    spans = [s for s in read_trace(result) if s.name in TRACED]
    if not spans:
        raise Missing("the trace shows no task")
    begin, workers = spans[0].start, sorted({s.thread for s in spans})
    methods = [method for method in TRACED if any(s.name == method for s in spans)]
    sheet = Sheet(result, form, verdict(result, "pool.waves"), left=1.15, height=2.4, above=0.5, columns=("method", "worker", "start_ms", "length_ms"),
                  key="a bar: a task that waits · one run by each method, from the trace")
    ax = sheet.axes[0]
    for span in spans:
        look, start = METHODS[TRACED[span.name]], (span.start - begin) / 1000
        ax.barh(workers.index(span.thread), span.length / 1000, 0.72, left=start, color=look.colour, ec="white", lw=0.4,
                hatch=look.hatch)
        sheet.rows.append((span.name, span.thread, start, span.length / 1000))
    for at, method in enumerate(methods):
        first = (min(s.start for s in spans if s.name == method) - begin) / 1000
        ax.annotate(method, (first, 1), (0, 2 + 9 * (at % 2)), xycoords=("data", "axes fraction"),
                    textcoords="offset points", color=GREY)
    ax.set_ylim(len(workers) - 0.4, -0.6)
    ax.set_xlim(0, max(s.start + s.length - begin for s in spans) / 1000 or 1)
    ax.set_yticks(range(len(workers)), [w[:18] for w in workers])
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("milliseconds since the first task began")
    return sheet


def cost(result, form):
    """What an empty task costs by each method, beside one byte there and back through a pipe."""
    counts = sorted({w for method in METHODS for w in result.values(method, "workers")})
    floor = result.series("pipe_round_trip").scaled(1e-3)
    if not counts:
        raise Missing("no method was measured")
    runs = {w: {m: result.series(m, workers=w).scaled(1e-3) for m in METHODS if result.series(m, workers=w)} for w in counts}
    sheet = Sheet(result, form, verdict(result, "pool.map_cheapest"), panels=len(counts), left=1.05, gap=0.35, height=3,
                  key=f"marker: median of the calmest rounds · line: their 10th to 90th percentile · {DOTS} · dashed: a pipe's round trip")
    everything = [s for panel in runs.values() for s in panel.values()] + [floor]
    for ax, count in zip(sheet.axes, counts):
        value_axis(ax.xaxis, [v for s in everything for v in s.calm])
        ax.set_ylim(len(METHODS) - 0.4, -0.6)
        for row, (method, look) in enumerate(METHODS.items()):
            series = runs[count].get(method, Series())
            ax.axhline(row, color=GREY, lw=0.3, alpha=0.4, zorder=0)
            if series:
                ax.plot([series.percentile(10), series.percentile(90)], [row] * 2, color=look.colour, lw=3, alpha=0.3, zorder=2)
                ax.plot([series.median], [row], color=look.colour, marker=look.marker, ms=6, mec="white", mew=0.5, zorder=6)
            rounds(ax, row, series, look, across=True, spread=0.025)
            sheet.add(f"{count} workers", method, count, series)
        if floor:
            ax.axvline(floor.median, color=GREY, ls=(0, (4, 3)), lw=0.8, zorder=1)
        ax.set_yticks(range(len(METHODS)), [LABELS.get(m, m) for m in METHODS] if ax is sheet.axes[0] else [])
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("microseconds a task, lower is better")
        sheet.head(ax, f"{count} worker{'s' * (count > 1)}", " ")
    sheet.add("floor", "pipe_round_trip", 1, floor)
    return sheet


FIGURES = (timeline, cost)
