"""The figure of a machine, from the text of a record: packages, cores, hardware threads, which of them may be used."""
import math
import re

from matplotlib.patches import Rectangle

from axes import GREY
from results import Missing, clean
from style import BLUE, INK, Sheet

MOST_NUMBERS = 64  # more hardware threads are drawn without their numbers


def read_packages(text):
    """{package: {core: [(cpu, allowed)]}} from lines like "package 0: core 0: cpu 0 (cpu 4); core 1: cpu 1 (cpu 5)"."""
    packages = {}
    for package, cores in re.findall(r"^\s*package (\d{1,6}): (.*)$", text, re.M):
        for core, cpus in re.findall(r"core (\d{1,6}):([^;]*)", cores):
            found = [(int(cpu), not bar) for bar, cpu in re.findall(r"(\(?)cpu (\d{1,6})", cpus)]
            if found:
                packages.setdefault(int(package), {})[int(core)] = found
    return packages


def draw_packages(ax, packages):
    """A box a package, a cell a core, a filled (allowed) or hollow rectangle a hardware thread."""
    most = max(map(len, packages.values()))
    across = math.ceil(math.sqrt(len(packages)))
    wide = min(most, max(4, math.ceil(8 / across)))
    deep = math.ceil(most / wide)
    down, aisle = math.ceil(len(packages) / across), 0.3 * deep
    numbered = sum(len(cpus) for cores in packages.values() for cpus in cores.values()) <= MOST_NUMBERS
    for at, (package, cores) in enumerate(packages.items()):
        left, top = at % across * (wide + 0.4), at // across * (deep + aisle)
        ax.add_patch(Rectangle((left - 0.1, top - 0.05 * deep), wide + 0.2, 1.1 * deep, fc="none", ec=INK, lw=0.9))
        ax.annotate(f"package {package}", (left - 0.1, top - 0.05 * deep), (0, 4), textcoords="offset points",
                    weight="bold")
        for spot, cpus in enumerate(cores.values()):
            x, y = left + spot % wide, top + spot // wide
            ax.add_patch(Rectangle((x + 0.04, y + 0.05), 0.92, 0.9, fc="#f1f1f1", ec=GREY, lw=0.5))
            width = 0.84 / len(cpus)
            for i, (cpu, allowed) in enumerate(cpus):
                ax.add_patch(Rectangle((x + 0.1 + i * width, y + 0.14), width - 0.04, 0.72, ec=BLUE, lw=0.6,
                                       fc=BLUE if allowed else "white"))
                if numbered:
                    ax.annotate(cpu, (x + 0.08 + (i + 0.5) * width, y + 0.5), ha="center", va="center",
                                color="white" if allowed else INK)
    ax.set_xlim(-0.15, across * (wide + 0.4) - 0.25)
    ax.set_ylim(down * (deep + aisle) - aisle + 0.06 * deep, -0.06 * deep)
    ax.axis("off")


def machine(result, form):
    """Packages, cores and hardware threads; what this process may not use is hollow."""
    packages = read_packages(result.tables.get("drawing", ""))
    if not packages:
        raise Missing("the record has no drawing of the machine")
    usable = result.limits()
    drawn = [cpus for cores in packages.values() for cpus in cores.values()]  # a record may leave out what is not allowed
    total = [max(most, number or 0) for most, number in zip((len(drawn), sum(map(len, drawn))), result.topology())]
    count = lambda n, word: f"{n} {word}{'s' * (n != 1)}"
    title = (f"This process may use {usable[0] or 0} of {count(total[0], 'core')} and {usable[1] or 0} of "
             f"{count(total[1], 'hardware thread')}")
    sheet = Sheet(result, form, title, panels=2, widths=(3, 2.6), left=0.12, gap=0.25, above=0.32, below=0.05, height=2.6,
                  columns=("package", "core", "cpu", "allowed"),
                  key="boxes: packages · cells: cores · filled: a hardware thread (CPU) this process may use · "
                  "hollow: one it may not")
    sheet.rows = [(p, c, u, int(a)) for p, cores in packages.items() for c, cpus in cores.items() for u, a in cpus]
    draw_packages(sheet.axes[0], packages)
    table = sheet.axes[1]
    table.axis("off")
    for at, line in enumerate(result.tables.get("counts", "").splitlines()[:9]):
        name, _, value = re.sub(r" \(.*?\)", "", clean(line)).rpartition(": ")
        about = {"transform": table.transAxes, "va": "top", "size": sheet.form.text - 1.3}
        table.text(0, 0.99 - at * 0.112, name[:38], **about)
        table.text(1, 0.99 - at * 0.112, value[:9] or "?", ha="right", weight="bold", **about)
    sheet.head(table, "How many CPUs?")
    return sheet
