"""04_start_methods: cost against the parent's memory; memory of a worker; what a worker inherits."""
import re

from axes import GREY, labels, reference, value_axis
from findings import unit, verdict
from results import Missing, clean
from style import BLACK, BLUE, CURVES, GREEN, ORANGE, SKY, VERMILLION, Look, Sheet

METHODS = {"fork": Look(VERMILLION, "v"), "fork_huge_pages": Look(ORANGE, "^", (0, (4, 1.5, 1, 1.5))),
           "spawn": Look(BLUE, "o"), "forkserver": Look(GREEN, "s", (0, (6, 1.5))), "thread": Look(BLACK, "D", (0, (2, 1.5)))}
FLOORS = {"bare_spawn_lab": "posix_spawn of this lab", "bare_spawn": "floor: posix_spawn", "bare_spawn_empty": "an empty static program",
          "bare_fork": "floor: fork, _exit, wait", "bare_vfork": "floor: vfork", "bare_thread": "floor: thread"}
FLOOR = Look(GREY, "", (0, (4, 3)))
EMPTY = 16  # MiB: where a parent of 0 stands on the logarithmic axis


def cost(result, form):
    """Start to join against what the parent has touched, both logarithmic, and the floors."""
    runs = {m: {mib: result.series(m, mib=mib) for mib in result.values(m, "mib")} for m in METHODS}
    runs = {m: {mib: s for mib, s in sizes.items() if s} for m, sizes in runs.items() if sizes}
    if "fork" not in runs or 0 not in runs["fork"] or len(runs["fork"]) < 2:
        raise Missing("fork was not run with an empty parent and with a larger one")
    largest = max(runs["fork"])
    every = [s for sizes in runs.values() for s in sizes.values()]
    factor, name = unit([v for s in every for v in s.calm][:1] or [1e3])
    sheet = Sheet(result, form, verdict(result, "start.fork_grows"), height=4.2, left=0.6, right=1.75,
                  key=CURVES + "the bare system calls (floors), from an empty parent")
    ax = sheet.axes[0]
    floors = {words: result.series(f).scaled(factor) for f, words in FLOORS.items()}
    value_axis(ax.yaxis, [v * factor for s in every for v in s.calm] + [s.median for s in floors.values() if s])
    ax.set_xscale("log")
    ax.set_xlim(EMPTY / 1.2, largest * 1.2)
    sizes = sorted({mib for by in runs.values() for mib in by})
    ax.set_xticks([mib or EMPTY for mib in sizes], [str(mib) for mib in sizes])
    ax.minorticks_off()
    ends = []
    for words, series in floors.items():
        if series:
            reference(ax, [EMPTY / 1.2, largest * 1.2], [series.median] * 2)
            ends.append((largest, series.median, words, FLOOR))
    for method, by_size in runs.items():
        points = {mib or EMPTY: s.scaled(factor) for mib, s in by_size.items()}
        words = method.replace("_", " ")
        sheet.curve(ax, "start to join", words, points, METHODS[method])
        ends.append((max(points), points[max(points)].median, words, METHODS[method]))
    ax.set_xlabel("memory the parent has touched, MiB")
    sheet.head(ax, "Start to join of a worker that does nothing", f"{name}, lower is better")
    edge = {largest: largest * 1.2}  # where the floors end: all labels in one column, moved apart where they would touch
    labels(ax, [(edge.get(x, x), *rest) for x, *rest in ends], 0.9 * sheet.form.text)
    return sheet


STAGES = ("at start", "table read", "written to", "own one loaded")


def memory(result, form):
    """Private MiB of a worker by method: at start, after reading and writing to the parent's table, with one of its own."""
    text = result.tables.get("memory of a worker", "")
    rows = {m.group(1): re.findall(r"[\d.]+|has none", m.group(2)) for m in re.finditer(r"^(fork|spawn|forkserver) +(.*)$", text, re.M)}
    rows = {method: cells for method, cells in rows.items() if len(cells) == len(STAGES)}
    held = re.search(r"a table of (\d+) MiB", text)
    if not rows or not held:
        raise Missing("the record has no table of the memory of a worker")
    sheet = Sheet(result, form, verdict(result, "start.copy_on_write"), height=2.6, left=1.0, right=0.5, key="counted in /proc/self/smaps_rollup, once",
                  columns=("method", "stage", "private_mib"))
    ax = sheet.axes[0]
    looks = (Look(SKY, ""), Look(GREEN, "", hatch="...."), Look(VERMILLION, "", hatch="////"), Look(BLUE, "", hatch="xxxx"))
    for at, (method, cells) in enumerate(rows.items()):
        for stage, (cell, look) in enumerate(zip(cells, looks)):
            mib = 0.0 if cell == "has none" else float(cell)
            y = at + (stage - 1.5) * 0.2
            ax.barh(y, mib, 0.18, color=look.colour, hatch=look.hatch, ec="white", lw=0)
            words = f"{STAGES[stage]}: {cell}"
            ax.annotate(words, (mib, y), (4, 0), textcoords="offset points", va="center", size=sheet.form.text - 1.5)
            sheet.rows.append((method, STAGES[stage], None if cell == "has none" else mib))
    ax.set_xlim(0, 1.3 * max(ax.get_xlim()[1], 1))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("private memory of the worker, MiB")
    sheet.head(ax, "Memory that only the worker has", f"its parent holds a table of {held.group(1)} MiB")
    return sheet


def inheritance(result, form):
    """The table of what a worker has of what its parent changed just before."""
    lines = result.tables.get("what a worker inherits", "").splitlines()
    cells = [re.split(r" {2,}", clean_line.strip()) for clean_line in (line[:200] for line in lines) if clean_line.strip()]
    if len(cells) < 2 or any(len(row) != len(cells[0]) for row in cells):
        raise Missing("the record has no table of what a worker inherits")
    head, rows = [clean(c) for c in cells[0]], [[clean(c) for c in row] for row in cells[1:]]
    told = [row for row in rows if "can't tell" not in row]
    count = {method: sum(row[at] == "inherited" for row in told) for at, method in enumerate(head) if at}
    title = "Of {} changes a worker finds: {}".format(len(told), ", ".join(f"{m} {n}" for m, n in count.items()))
    sheet = Sheet(result, form, title, height=2.4, left=0.15, right=0.15, below=0.05,
                  key="looked up by the worker itself · filled: it has what its parent changed just before · hollow: it has not"
                  + " · ?: can't be told with one CPU" * (told != rows),
                  columns=("changed", "method", "inherited"))
    ax = sheet.axes[0]
    ax.axis("off")
    ax.set_xlim(0, 10)
    ax.set_ylim(len(rows) - 0.5, -1)
    for at, method in enumerate(head[1:]):
        ax.text(5.2 + 1.35 * at, -0.75, method, ha="center", va="center", weight="bold")
    for y, (name, *found) in enumerate(rows):
        ax.text(0, y, name, va="center")
        ax.axhline(y - 0.5, color=GREY, lw=0.3)
        for at, cell in enumerate(found):
            has = None if cell == "can't tell" else cell == "inherited"
            if has is None:
                ax.text(5.2 + 1.35 * at, y, "?", ha="center", va="center", color=GREY)
            else:
                ax.plot(5.2 + 1.35 * at, y, "o", ms=6, mfc=BLUE if has else "white", mec=BLUE)
            sheet.rows.append((name, head[at + 1], None if has is None else int(has)))
    return sheet


FIGURES = (cost, memory, inheritance)
