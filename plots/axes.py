"""What stands on a figure's axes: rounds, value and worker axes, reference lines, direct labels."""
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

GREY, PALE = "#6b6b6b", "#c9c9c9"


def rounds(ax, x, series, look, across=False, spread=0.012):
    """A dot a round, faint and grey where it was disturbed; beyond the axis it stands on its edge."""
    low, high = sorted(ax.get_xlim() if across else ax.get_ylim())
    place = (ax.transData + ax.transAxes.inverted()).transform
    for disturbed, style in ((True, {"c": PALE, "alpha": 0.5, "zorder": 1.5}), (False, {"c": look.colour, "alpha": 0.45, "zorder": 3})):
        at = []
        for p in (p for p in series if p.disturbed == disturbed):
            value = min(max(p.value, low), high)
            fraction = place((value, x) if across else (x, value))
            fraction[1 if across else 0] += ((p.round * 0.618) % 1 - 0.5) * 2 * spread
            at.append(fraction)
        if at:
            ax.scatter(*zip(*at), transform=ax.transAxes, clip_on=False, marker="o", s=5, lw=0, **style)  # below the medians


def value_axis(axis, values, zero=True):
    """Limits and ticks for values above 0 (logarithmic beyond 30x)."""
    values = sorted(values) or [1.0]
    low, high = values[0], values[-1]
    limits = axis.axes.set_ylim if axis.axis_name == "y" else axis.axes.set_xlim
    if low > 0 and high / low > 30:
        (axis.axes.set_yscale if axis.axis_name == "y" else axis.axes.set_xscale)("log")
        limits(low / 1.3, high * 1.3)
        few, between = (1000, (1, 2, 5)) if axis.axis_name == "y" else (100, (1, 3))  # names beside each other are wider
        axis.set_major_locator(LogLocator(10, (1,) if high / low > few else between))
    else:
        margin = (high - low) * 0.08 or high * 0.05 or 1
        limits(0 if zero else low - margin, high + margin)
        axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}" if v >= 1e6 else f"{v:,.6g}"))
    axis.set_minor_locator(NullLocator())


def worker_axis(ax, counts, limits=(), top=True):
    """Whole numbers of workers, with hairlines at the machine's physical cores and hardware threads."""
    low, high = counts[0], counts[-1]
    logarithmic = high / low > 30
    if logarithmic:
        ax.set_xscale("log")
        ax.set_xlim(low / 1.15, high * 1.15)
    else:
        margin = 0.04 * (high - low) or 0.5
        ax.set_xlim(low - margin, high + margin)
    place = lambda x: (ax.transData + ax.transAxes.inverted()).transform((x, 1))[0]
    shown = []
    for count in sorted(counts, key=lambda c: (c not in limits, c != high, c & (c - 1) != 0, c)):
        if all(abs(place(count) - place(other)) > 0.055 for other in shown):
            shown.append(count)
    ax.xaxis.set_major_locator(FixedLocator(sorted(shown)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("workers")
    cores, threads = (tuple(limits) + (None, None))[:2]
    lines = [(cores, f"{cores} cores" if cores != 1 else "1 core")] if cores else []
    if threads and threads != cores:
        lines.append((threads, f"{threads} threads"))
    for at, (count, words) in enumerate(lines):
        if ax.get_xlim()[0] <= count <= ax.get_xlim()[1]:
            height, across = (1 - 0.09 * at, "top") if top else (0.03 + 0.09 * at, "bottom")
            side = -1 if place(count) > 0.5 else 1
            ax.axvline(count, color=PALE, lw=0.6, zorder=0)
            ax.annotate(words, (count, height), (3 * side, 0), xycoords=("data", "axes fraction"), color=GREY, zorder=6,
                        textcoords="offset points", ha="left" if side > 0 else "right", va=across)


def reference(ax, xs, ys, words=None, at=-1, look=None, **offset):
    """What the machine or a law would allow: dashed grey, named on the line; look: how it is drawn otherwise."""
    ax.plot(xs, ys, **{"color": GREY, "ls": (0, (4, 3)), "lw": 0.8, "zorder": 1, **(look or {})})
    if words:
        ax.annotate(words, (xs[at], ys[at]), offset.pop("to", (3, 3)), textcoords="offset points", color=GREY, **offset)


def labels(ax, entries, text):
    """Direct labels right of the curves' ends: (x, y, words, look) each, moved apart where they would touch."""
    to_points = lambda x, y: ax.transData.transform((x, y)) * 72 / ax.figure.dpi
    height, placed = text * 1.3, []
    for x, y, words, look in sorted(entries, key=lambda e: e[1]):
        own = to_points(x, y)[1]
        placed.append([max(own, placed[-1][0] + height * (placed[-1][2].count("\n") + 1)) if placed else own, own,
                       words, look, x, y])
    shift = sum(p[0] - p[1] for p in placed) / len(placed) if placed else 0
    for at, own, words, look, x, y in placed:
        ax.annotate(words, (x, y), (14, at - own - shift), textcoords="offset points", va="center",
                    arrowprops={"arrowstyle": "-", "lw": 1, "ls": look.line, "color": look.colour, "shrinkA": 0,
                                "shrinkB": 4}, annotation_clip=False, zorder=7)
