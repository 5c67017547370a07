"""The figure of a machine, from the text of a record: packages, cores, hardware threads, and which of them may be used."""
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
        ax.annotate(f"package {package}", (left - 0.1, top - 0.05 * deep), (0, 4), textcoords="offset points", weight="bold")
        for spot, cpus in enumerate(cores.values()):
            x, y = left + spot % wide, top + spot // wide
            ax.add_patch(Rectangle((x + 0.04, y + 0.05), 0.92, 0.9, fc="#f1f1f1", ec=GREY, lw=0.5))
            width = 0.84 / len(cpus)
            for i, (cpu, allowed) in enumerate(cpus):
                ax.add_patch(Rectangle((x + 0.1 + i * width, y + 0.14), width - 0.04, 0.72, fc=BLUE if allowed else "white",
                                       ec=BLUE, lw=0.6))
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
    cores, cpus = [c for p in packages.values() for c in p.values()], [u for p in packages.values() for c in p.values() for u in c]
    count = lambda n, word: f"{n} {word}{'s' * (n != 1)}"
    usable = result.limits()
    title = (f"This process may use {usable[0] or 0} of {count(len(cores), 'core')} and {usable[1] or 0} of "
             f"{count(len(cpus), 'hardware thread')}")
    sheet = Sheet(result, form, title, panels=2, widths=(3, 1.3), left=0.12, gap=0.3, above=0.32, below=0.05, height=2.6,
                  key="boxes: packages · cells: cores · filled: a hardware thread (CPU) this process may use · hollow: one it may not",
                  columns=("package", "core", "cpu", "allowed"))
    sheet.rows = [(p, c, u, int(a)) for p, cores in packages.items() for c, cpus in cores.items() for u, a in cpus]
    draw_packages(sheet.axes[0], packages)
    table = sheet.axes[1]
    table.axis("off")
    for at, line in enumerate(result.tables.get("counts", "").splitlines()[:9]):
        name, _, value = clean(line).partition(":")
        table.text(0, 1 - at * 0.125, name[:20], transform=table.transAxes, va="top")
        table.text(1, 1 - at * 0.125, value.strip()[:8] or "?", transform=table.transAxes, va="top", ha="right", weight="bold")
    sheet.head(table, "How many CPUs?")
    return sheet
