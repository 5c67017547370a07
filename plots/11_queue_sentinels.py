"""11_queue_sentinels: from which work an item on a queue pays; who sends which message when."""
from axes import GREY, labels, value_axis
from findings import unit, verdict
from results import Missing, read_trace
from style import BLACK, BLUE, CURVES, GREEN, ORANGE, PURPLE, SKY, VERMILLION, Look, Sheet

SERIAL, QUEUE = Look(BLACK, "s"), Look(BLUE, "o")
MESSAGES = {"works": Look(SKY, "o"), "waits for a job": Look("#ffffff", "o", hatch="////"), "sends the sentinels": Look(VERMILLION, "v", hatch="xxxx"),
            "reads a sentinel": Look(ORANGE, "^", hatch="...."), "acknowledges": Look(GREEN, "D", hatch="\\\\\\\\"),
            "takes an acknowledgement": Look(PURPLE, "P", hatch="++++")}


def items_of(counts):
    """How many items of that many counts made a job: see experiments.hpp."""
    return min(max(60_000_000 // counts, 20), 2000)


def break_even(result, form):
    """Time an item against the work it brings along: in a loop, and through the queue."""
    counts = result.values("sweep_serial", "counts")
    most = max(result.values("sweep_queue", "workers"), default=0)
    both = [c for c in counts if result.series("sweep_queue", workers=most, counts=c)]
    if not both:
        raise Missing("the sweep over work per item was not run")
    loop = {c: result.series("sweep_serial", counts=c).scaled(1 / items_of(c)) for c in both}
    queue = {c: result.series("sweep_queue", workers=most, counts=c).scaled(1 / items_of(c)) for c in both}
    factor, name = unit([s.median for s in queue.values()])
    work = {c: loop[c].median * factor for c in both}
    sheet = Sheet(result, form, verdict(result, "queue.break_even"), height=3.6, right=1.3, left=0.7, key=CURVES + "the loop's time over the workers")
    ax = sheet.axes[0]
    shown = {"a loop": (loop, SERIAL), f"a queue, {most} workers": (queue, QUEUE)}
    value_axis(ax.yaxis, [v * factor for runs, _ in shown.values() for s in runs.values() for v in s.calm])
    value_axis(ax.xaxis, list(work.values()))
    ax.set_xlim(work[both[0]] / 1.5, work[both[-1]] * 1.5)
    ax.plot(list(work.values()), [w / most for w in work.values()], color=GREY, ls=(0, (4, 3)), lw=0.8, zorder=1)
    for words, (runs, look) in shown.items():
        sheet.curve(ax, "time an item", words, {work[c]: runs[c].scaled(factor) for c in both}, look)
    last = both[-1]
    labels(ax, [(work[last], runs[last].median * factor, words, look) for words, (runs, look) in shown.items()], sheet.form.text)
    ax.set_xlabel(f"work of an item, {name}")
    sheet.head(ax, "Time an item", f"{name}, lower is better")
    return sheet


def sentinels(result, form):
    """A track a process: the jobs, then the sentinels, then the acknowledgements."""
    spans = [s for s in read_trace(result) if s.name in MESSAGES]
    if not spans:
        raise Missing("the trace shows no message")
    begin, tracks = spans[0].start, sorted({s.thread for s in spans})
    sheet = Sheet(result, form, verdict(result, "queue.no_loss"), left=0.9, height=2.6, above=0.55, columns=("process", "what", "start_ms", "length_ms"),
                  key="one run of the protocol, from the trace: twelve jobs, a sentinel a worker, an acknowledgement each")
    ax = sheet.axes[0]
    named = {}
    for span in spans:
        look, start, length = MESSAGES[span.name], (span.start - begin) / 1000, span.length / 1000
        ax.barh(tracks.index(span.thread), length, 0.6, left=start, color=look.colour, ec=GREY, lw=0.4, hatch=look.hatch)
        if length < 0.1 and span.name != "waits for a job":  # a message is shorter than a line is wide
            ax.plot([start], [tracks.index(span.thread)], color=look.colour, marker=look.marker, ms=5, mec="white", mew=0.5, zorder=5)
        named.setdefault(span.name, look)
        sheet.rows.append((span.thread, span.name, start, length))
    handles = [ax.plot([], [], color=look.colour if look.colour != "#ffffff" else GREY, marker=look.marker, ls="", ms=5, mec=GREY, mew=0.3, label=name)[0]
               for name, look in named.items()]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncol=3, frameon=False, fontsize=sheet.form.text - 1, columnspacing=1,
              handletextpad=0.3)
    ax.set_ylim(len(tracks) - 0.4, -0.6)
    ax.set_xlim(0, max(s.start + s.length - begin for s in spans) / 1000 * 1.01 or 1)
    ax.set_yticks(range(len(tracks)), [t[:14] for t in tracks])
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("milliseconds since the first message")
    return sheet


FIGURES = (break_even, sentinels)
