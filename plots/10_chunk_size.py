"""10_chunk_size: time against chunk size, and against number of chunks; the model's curve and the book's."""
import math

from axes import GREY, PALE, value_axis
from findings import verdict
from results import Missing
from style import BLUE, CURVES, GREEN, ORANGE, VERMILLION, Look, Sheet

IN_ORDER, SHUFFLED, DEFAULT = Look(BLUE, "o"), Look(ORANGE, "^", (0, (4, 1.5, 1, 1.5))), Look(GREEN, "D")
BOOK = Look(VERMILLION, "x", (0, (1, 1)))
EMPTY_CHUNKS, COUNTDOWNS = 10_000, 240  # see experiments.hpp
# High Performance Python, 1st ed., 100,000 numbers by 4 workers: seconds by chunk size, and by number of chunks.
BY_SIZE = {1: 2.127, 2: 1.361, 3: 1.027, 4: 0.878, 5: 0.838, 8: 0.778, 10: 0.755, 50: 0.683, 100: 0.671, 1000: 0.670, 5000: 0.668,
           10000: 0.784, 50000: 1.323}
BY_COUNT = {1: 2.582, 2: 1.296, 3: .868, 4: .688, 5: 1.031, 6: .865, 7: .748, 8: .687, 9: .858, 10: .779, 12: .704, 13: .797, 16: .687,
            17: .758, 20: .686, 21: .732, 24: .688, 25: .718, 28: .684, 29: .721, 32: .686}
BOOK_SERIAL = BY_COUNT[1]  # one chunk is the loop


class Job:
    """What both figures need of a record: the model's three times in milliseconds, numbers and workers."""

    def __init__(self, result):
        self.serial = result.series("serial").scaled(1e-6).median
        self.work = result.series("chunk_count", chunks=1).scaled(1e-6).median
        self.streamed = result.series("empty_chunks").scaled(1e-6 / EMPTY_CHUNKS).median
        apart = result.series("countdowns_apart").minus(result.series("countdowns_together")).scaled(1e-6).median
        counts = [result.series("shared_by_hand", "workers").median, result.series("serial", "numbers").median]
        if not self.serial or not self.work or not self.streamed or apart is None or not all(n and 1 <= n <= 1e7 for n in counts):
            raise Missing("it takes serial, shared_by_hand, one chunk, empty_chunks and the countdowns")
        self.workers, self.numbers = map(round, counts)
        self.woken = max(self.streamed, apart / (math.ceil(COUNTDOWNS / self.workers) * self.workers))

    def model(self, chunks):
        """Model in chunks_model.hpp."""
        spacing = self.work / (chunks * self.workers)
        dispatch = self.streamed + (self.woken - self.streamed) * spacing / (spacing + self.woken)
        return self.work * math.ceil(chunks / self.workers) / chunks + dispatch * chunks


def stretches(curve):
    """curve in parts of successive numbers: a line over others that were not run would hide the teeth."""
    parts = []
    for x in curve:
        if not parts or x - 1 not in parts[-1]:
            parts.append({})
        parts[-1][x] = curve[x]
    return parts


def draw(sheet, job, mine, book, words, neighbours=False):
    """The axes' limits, the model's curve in grey, the book's points scaled to this machine's loop, this machine's curve."""
    ax, scale = sheet.axes[0], job.serial / BOOK_SERIAL
    xs = sorted({x for curve, _ in mine.values() for x in curve})
    book = {x: t * scale for x, t in book.items() if xs[0] <= x <= xs[-1]}
    value_axis(ax.yaxis, [v for curve, _ in mine.values() for s in curve.values() for v in s.calm] + [*book.values()])
    ax.plot([*book], [*book.values()], color=BOOK.colour, ls=BOOK.line, marker=BOOK.marker, ms=4, lw=0.9, zorder=2)
    sheet.rows += [("book", "scaled", x, "", t, "") for x, t in book.items()]
    for name, (curve, look) in mine.items():
        for part in stretches(curve) if neighbours else [curve]:
            sheet.curve(ax, words, name, part, look, marker_size=6 if look is DEFAULT else 4)
    handles = [ax.plot([], [], color=look.colour, ls=look.line if len(curve) > 1 else "", marker=look.marker, ms=4)[0] for curve, look in mine.values()]
    handles += [ax.plot([], [], color=GREY, ls=(0, (4, 3)), lw=0.8)[0],
                ax.plot([], [], color=BOOK.colour, ls=BOOK.line, marker=BOOK.marker, ms=4, lw=0.9)[0]]
    ax.legend(handles, [*mine, "the model", "the book's, 4 workers, scaled to this loop"], frameon=False, loc="upper right")
    sheet.head(ax, f"{job.numbers:,} numbers by {job.workers} workers", "milliseconds, lower is better")


def curves(result, function, arg):
    runs = {n: result.series(function, **{arg: n}).scaled(1e-6) for n in result.values(function, arg) if n > 0}
    return {n: s for n, s in runs.items() if s}


def chunk_size(result, form):
    """Time of the whole job against the size of its chunks, in order and shuffled."""
    job, mine = Job(result), curves(result, "chunk_size", "size")
    if len(mine) < 2:
        raise Missing("fewer than two chunk sizes were run")
    sheet = Sheet(result, form, verdict(result, "chunk.model"), height=3.6, left=0.6, key=CURVES + "the model: work / W, and a price a chunk")
    ax = sheet.axes[0]
    default = result.series("default_size", numbers=job.numbers).scaled(1e-6)
    own = math.ceil(job.numbers / (4 * job.workers))
    shown = {"in order": (mine, IN_ORDER), "shuffled": (curves(result, "shuffled_size", "size"), SHUFFLED),
             "the pool's own size": ({own: default} if default else {}, DEFAULT)}
    shown = {name: (curve, look) for name, (curve, look) in shown.items() if curve}
    largest = max(x for curve, _ in shown.values() for x in curve)
    ax.set_xscale("log")
    ax.set_xlim(min(mine) / 1.3, largest * 1.3)
    draw(sheet, job, shown, BY_SIZE, "chunk size")
    fine = sorted({round(min(mine) * (largest / min(mine)) ** (i / 400)) for i in range(401)} - {0})
    ax.plot(fine, [job.model(math.ceil(job.numbers / x)) for x in fine], color=GREY, ls=(0, (4, 3)), lw=0.8, zorder=1)
    ticks = [10 ** k for k in range(8) if min(mine) <= 10 ** k <= largest]
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("numbers in a chunk")
    return sheet


def chunk_count(result, form):
    """Time of the whole job against the number of chunks it is cut into: the sawtooth."""
    job, mine = Job(result), curves(result, "chunk_count", "chunks")
    default = result.series("default_size", numbers=job.numbers).scaled(1e-6)
    if default:
        mine[4 * job.workers] = default
    if len(mine) < 2:
        raise Missing("fewer than two numbers of chunks were run")
    mine = {n: mine[n] for n in sorted(mine) if n <= max(8 * job.workers, 32)}  # beyond it the teeth are too small to be seen
    sheet = Sheet(result, form, verdict(result, "chunk.sawtooth"), height=3.6, left=0.6,
                  key=CURVES + "the model: ceil(chunks / W) / chunks of the work · hairlines: multiples of W")
    ax = sheet.axes[0]
    last = max(mine)
    ax.set_xlim(0.5, last + 0.5 + last / 40)
    for turn in range(job.workers, last + 1, job.workers):
        ax.axvline(turn, color=PALE, lw=0.5, zorder=0)
    draw(sheet, job, {"in order": (mine, IN_ORDER)}, BY_COUNT, "number of chunks", neighbours=True)
    fine = range(1, min(last, 5000) + 1)
    ax.plot(fine, [job.model(x) for x in fine], color=GREY, ls=(0, (4, 3)), lw=0.8, zorder=1)
    ax.set_xlabel("chunks the numbers are cut into")
    return sheet


FIGURES = (chunk_size, chunk_count)
