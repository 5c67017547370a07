"""Tracks of a trace: who holds a lock, who waits for it, and for how long."""

MOST_SPANS = 3000  # drawn of one lock; the trace itself has them all


def locks(spans):
    """{lock: its spans}, of spans named "holds" and "waits" behind the lock's name and ": "; only locks somebody held."""
    found = {}
    for span in spans:
        lock, _, what = span.name.rpartition(": ")
        if what in ("holds", "waits"):
            found.setdefault(lock or "new lock", []).append(span)
    found = {lock: own[:MOST_SPANS] for lock, own in found.items()}
    return {lock: own for lock, own in found.items() if any(s.name.endswith("holds") for s in own)}


def turns(holds):
    """How long each thread kept the lock, in milliseconds, until another one took it; the last, unfinished one left out."""
    lengths, start = [], holds[0]
    for hold in holds:
        if hold.thread != start.thread:
            lengths.append((hold.start - start.start) / 1000)
            start = hold
    return sorted(lengths)


def tracks(ax, spans, look):
    """A track a thread: filled while it holds, a thin line while it waits; returns (thread, what, start, length) in ms."""
    threads, begin, rows = sorted({s.thread for s in spans}), spans[0].start, []
    for at, thread in enumerate(threads):
        own = [((s.start - begin) / 1000, s.length / 1000, s.name.rpartition(": ")[2]) for s in spans
               if s.thread == thread]
        waits = [(start, start + length) for start, length, what in own if what == "waits"]
        ax.hlines([at] * len(waits), [a for a, _ in waits], [b for _, b in waits], color=look.colour, lw=0.7)
        ax.broken_barh([(start, length) for start, length, what in own if what == "holds"], (at - 0.36, 0.72),
                       facecolor=look.colour, edgecolor=look.colour, lw=0.3)
        rows += [(thread, what, start, length) for start, length, what in own]
    ax.set_ylim(len(threads) - 0.4, -0.6)
    ax.set_yticks(range(len(threads)), [t[:14] for t in threads])
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return rows
