"""05_pipe: a message there and back against its size; one byte by every carrier."""
from axes import GREY, labels, reference, rounds, value_axis
from findings import verdict
from results import Missing
from style import CURVES, DOTS, LOOKS, Sheet

CURVES_OF = {"pipe": "pipe", "stream_socket": "stream socket", "seqpacket_socket": "seqpacket socket", "ring": "ring",
             "spinning_ring": "spinning ring"}
ONE_BYTE = {"pipe": "pipe", "pipe_between_threads": "pipe, threads", "stream_socket": "stream socket",
            "seqpacket_socket": "seqpacket socket", "message_queue": "message queue", "ring": "ring",
            "spinning_ring": "spinning ring", "pipe_same_cpu": "pipe, same CPU", "ring_same_cpu": "ring, same CPU",
            "spinning_ring_same_cpu": "spinning ring, same CPU"}
MICRO = 1e-3  # of a nanosecond's number


def size_name(bytes_):
    for factor, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if bytes_ >= factor:
            return f"{bytes_ / factor:g} {name}"
    return f"{bytes_} B"


def curves(result, functions):
    """{function: {bytes: Series in microseconds}} of those that were run."""
    runs = {f: {n: result.series(f, bytes=n).scaled(MICRO) for n in result.values(f, "bytes") if n > 0} for f in functions}
    runs = {f: {n: s for n, s in by_size.items() if s} for f, by_size in runs.items()}
    return {f: by_size for f, by_size in runs.items() if by_size}


def stretches(by_size, sizes):
    """by_size in parts: no line shall join two sizes between which the carrier was not run at one that others were."""
    part = {}
    for n in (n for n in sizes if n <= max(by_size)):
        if n in by_size:
            part[n] = by_size[n]
        elif part:
            yield part
            part = {}
    yield part


def size(result, form):
    """Time of a message there and back, against its size."""
    runs = curves(result, CURVES_OF)
    floors = curves(result, ("read_and_write", "memcpy_there_and_back"))
    if not runs.get("pipe"):
        raise Missing("no run of pipe")
    # What was run at one size alone is in the next figure; the spinning ring shows how far below it lies.
    runs = {f: r for f, r in runs.items() if len(r) > 1 or f == "spinning_ring"}
    sheet = Sheet(result, form, verdict(result, "pipe.bandwidth"), height=3.6, right=1.35, left=0.7,
                  below=0.52, key=CURVES + "memcpy · squares: write and read")
    ax = sheet.axes[0]
    drawn = (*runs.values(), *floors.values())
    everything = [s for by_size in drawn for s in by_size.values()]
    sizes = sorted({n for by_size in drawn for n in by_size})
    value_axis(ax.yaxis, [v for s in everything for v in s.calm if v > 0])
    if sizes[-1] > 30 * sizes[0]:
        ax.set_xscale("log", base=2)
    ax.set_xlim(sizes[0] / 1.5, sizes[-1] * 1.5)
    ax.set_xticks(sizes, [size_name(n).replace(" ", "\n") for n in sizes])
    ax.set_xticks([], minor=True)
    for function, floor in floors.items():
        told = [n for n in floor if floor[n]]
        memcpy = function == "memcpy_there_and_back"  # the other one is where the pipe's curve is: squares around that
        mark = {"marker": "." if memcpy else "s", "ms": 4 if memcpy else 8, "mfc": GREY if memcpy else "none", "mew": 0.8}
        reference(ax, told, [floor[n].median for n in told], "memcpy" if memcpy and told else None, to=(3, -8),
                  look=mark if memcpy else {**mark, "ls": "", "zorder": 6})
        for n, series in floor.items():
            sheet.add("there and back", function, n, series)
    for function, by_size in runs.items():
        for part in stretches(by_size, sizes):
            sheet.curve(ax, "there and back", function, part, LOOKS[function])
    labels(ax, [(max(r), r[max(r)].median, CURVES_OF[f], LOOKS[f]) for f, r in runs.items()], sheet.form.text)
    ax.set_xlabel("size of the message")
    sheet.head(ax, "There and back, between processes on two cores", "microseconds, lower is better")
    return sheet


def one_byte(result, form):
    """One byte there and back by each carrier, and the CPU time a message costs both sides."""
    runs = {f: r[1] for f, r in curves(result, ONE_BYTE).items() if 1 in r}
    if "pipe" not in runs or "ring" not in runs:
        raise Missing("it takes pipe and ring at 1 byte")
    sheet = Sheet(result, form, verdict(result, "pipe.wake_up_is_the_price"), panels=2, left=1.6, right=0.25, gap=0.3, height=3.6,
                  key=f"marker: median of the calmest rounds · {DOTS} · dashed: a cache line bounced there and back")
    cpu = {f: result.series(f, "cpu_ns", bytes=1).scaled(MICRO) for f in runs}
    bounce = result.series("cache_line_bounce").scaled(MICRO)
    for ax, panel, shown in zip(sheet.axes, ("There and back", "CPU time a message"), (runs, cpu)):
        own = [bounce.median] if ax is sheet.axes[0] and bounce else []
        value_axis(ax.xaxis, [v for s in shown.values() for v in s.calm if v > 0] + own)
        ax.set_ylim(len(runs) - 0.4, -0.6)
        for x in own:
            ax.axvline(x, color=GREY, ls=(0, (4, 3)), lw=0.8, zorder=1)
        for row, (function, series) in enumerate(shown.items()):
            look = LOOKS[function]
            ax.axhline(row, color=GREY, lw=0.3, alpha=0.4, zorder=0)
            if series:
                ax.plot([series.median], [row], color=look.colour, marker=look.marker, ms=6, mec="white", mew=0.5, zorder=6)
            rounds(ax, row, series, look, across=True, spread=0.02)
            sheet.add(panel, function, 1, series)
        ax.set_yticks(range(len(runs)), [ONE_BYTE[f] for f in runs] if ax is sheet.axes[0] else [])
        ax.tick_params(axis="y", length=0)
        sheet.head(ax, panel, "microseconds, lower is better")
    return sheet


def streaming(result, form):
    """Small messages, one after another: time each, by carrier."""
    names = {"pipe_stream": "pipe", "ring_stream": "ring", "spinning_ring_stream": "spinning\nring",
             "bare_ring_stream": "bare\nring"}
    runs = {f: result.series(f).scaled(1e-3) for f in names if result.series(f)}  # an iteration is 1000 messages
    if "pipe_stream" not in runs or "ring_stream" not in runs:
        raise Missing("it takes pipe_stream and ring_stream")
    sheet = Sheet(result, form, verdict(result, "pipe.ring_streams"), left=0.75,
                  key=f"line: 10th to 90th percentile · marker: median of the calmest rounds · {DOTS}")
    ax = sheet.axes[0]
    value_axis(ax.yaxis, [v for s in runs.values() for v in s.calm])
    ax.set_xlim(-0.5, len(runs) - 0.5)
    for at, (function, series) in enumerate(runs.items()):
        sheet.curve(ax, "streaming", function, {at: series}, LOOKS[function], marker_size=7)
        if series:
            ax.annotate(f"{series.median:,.0f}", (at, series.median), (9, 0), textcoords="offset points", va="center",
                        weight="bold")
    ax.set_xticks(range(len(runs)), [names[f] for f in runs])
    sheet.head(ax, "A message of 64 bytes, one way, streaming", "nanoseconds, lower is better")
    return sheet


FIGURES = (size, one_byte, streaming)
