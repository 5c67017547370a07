"""16_redis_flag: a GET against how many are sent together; what a candidate costs against the poll interval."""
from axes import value_axis
from findings import unit, verdict
from flags import against_interval
from results import Missing
from style import CURVES, LOOKS, Sheet


def pipelining(result, form):
    """The time of one GET, over a Unix socket and over TCP."""
    names = {"get_unix": "Unix socket", "get_tcp": "TCP"}
    runs = {f: {n: result.series(f, depth=n).scaled(1 / n) for n in result.values(f, "depth") if n > 0} for f in names}
    runs = {f: by_depth for f, by_depth in runs.items() if by_depth}
    if not runs:
        raise Missing("it takes get_unix or get_tcp")
    factor, unit_name = unit([s.median for by_depth in runs.values() for s in by_depth.values() if s])
    runs = {f: {n: s.scaled(factor) for n, s in by_depth.items()} for f, by_depth in runs.items()}
    ping = result.series("bare_ping").scaled(factor)
    sheet = Sheet(result, form, verdict(result, "redis.pipeline_narrows"), height=3.4, right=1.5, left=0.7, below=0.5,
                  key=CURVES.removesuffix(" · dashed: ") + " · square: the shortest command, by bare system calls")
    ax = sheet.axes[0]
    value_axis(ax.yaxis, [v for by_depth in runs.values() for s in by_depth.values() for v in s.calm] + ping.calm)
    depths = sorted({n for by_depth in runs.values() for n in by_depth})
    ax.set_xscale("log")
    ax.set_xlim(depths[0] / 1.3, depths[-1] * 1.3)
    ax.set_xticks(depths, [str(n) for n in depths])
    ax.set_xticks([], minor=True)
    for function, by_depth in runs.items():
        sheet.curve(ax, "a GET", function, by_depth, LOOKS[function])
    keys = [ax.plot([], [], color=LOOKS[f].colour, marker=LOOKS[f].marker, ls=LOOKS[f].line, ms=4, label=names[f])[0] for f in runs]
    if ping:
        look = LOOKS["bare_ping"]
        keys += ax.plot([1], [ping.median], color=look.colour, marker=look.marker, ms=5, mfc="none", ls="", zorder=5, label="bare PING")
        sheet.add("a GET", "bare_ping", 1, ping)
    ax.legend(handles=keys, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, handlelength=2.6)
    ax.set_xlabel("GETs sent together")
    sheet.head(ax, "One GET", f"{unit_name}, lower is better")
    return sheet


def interval(result, form):
    """The flag that is asked for, by both ways, and the one that tells; beside them a RawValue."""
    first = "redis_unix" if result.values("redis_unix", "every") else "redis_tcp"  # --redis names one way
    names = {"redis_unix": "asked, Unix socket", "redis_tcp": "asked, TCP"}
    return against_interval(result, form, "redis.poll_cost", {first: names.pop(first), "raw_value": "RawValue"},
                            {**names, "redis_told": "told"})


FIGURES = (pipelining, interval)
