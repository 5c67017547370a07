"""The look of every figure of the course: one sheet, one way to draw a variant's rounds, stable bytes."""
import io
import textwrap
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from axes import GREY, rounds
from results import to_csv

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (  # Okabe and Ito: told apart by every kind of eye
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
INK = "#222222"


class Look(NamedTuple):
    colour: str
    marker: str
    line: object = "-"
    hatch: str = ""


LOOKS = {  # one look a variant, for the whole course; colour never speaks alone
    "serial": Look(BLACK, "s"),
    "processes": Look(BLUE, "o"), "equal_jobs": Look(BLUE, "o"), "small_jobs": Look(SKY, "D", (0, (6, 1.5))),
    "serial_share/percent:0": Look(BLUE, "o"), "serial_share/percent:5": Look(SKY, "D", (0, (6, 1.5))),
    "serial_share/percent:25": Look(ORANGE, "^", (0, (4, 1.5, 1, 1.5))),
    "serial_share/percent:50": Look(VERMILLION, "v", (0, (2, 1.5))),
    "threads_under_gil": Look(VERMILLION, "v", (0, (2, 1.5)), "////"),
    "threads_under_old_gil": Look(PURPLE, "P", (0, (1, 1)), "xxxx"),
    "threads_without_lock": Look(ORANGE, "^", (0, (4, 1.5, 1, 1.5)), "...."),
    "io_beside/cpu_threads:1": Look(GREEN, "^"), "io_beside/cpu_threads:2": Look(PURPLE, "v", (0, (4, 1.5))),
    "pipe": Look(BLUE, "o"), "pipe_same_cpu": Look(BLUE, "o"), "pipe_between_threads": Look(BLUE, "o"),
    "pipe_stream": Look(BLUE, "o"), "stream_socket": Look(SKY, "D", (0, (6, 1.5))),
    "seqpacket_socket": Look(PURPLE, "P", (0, (1, 1))), "message_queue": Look(BLACK, "s"),
    "ring": Look(VERMILLION, "v", (0, (2, 1.5))), "ring_same_cpu": Look(VERMILLION, "v"), "ring_stream": Look(VERMILLION, "v"),
    "spinning_ring": Look(ORANGE, "^", (0, (4, 1.5, 1, 1.5))), "spinning_ring_same_cpu": Look(ORANGE, "^"),
    "spinning_ring_stream": Look(ORANGE, "^"), "bare_ring_stream": Look(GREEN, "X"),
    "naive_pool": Look(ORANGE, "^", (0, (4, 1.5, 1, 1.5)), "...."), "less_naive_pool": Look(BLUE, "o"),
    "raw_value": Look(BLUE, "o"), "value": Look(VERMILLION, "v", (0, (2, 1.5))), "raw_array": Look(SKY, "D"),
    "array": Look(PURPLE, "P"), "atomic": Look(GREEN, "s"),
    "mapped_byte": Look(GREEN, "^"), "seek_and_read": Look(ORANGE, "D", (0, (6, 1.5))),
    "pread": Look(VERMILLION, "v", (0, (2, 1.5))), "counted": Look(BLACK, "s"),
    "redis_unix": Look(PURPLE, "P", (0, (1, 1))), "redis_tcp": Look(ORANGE, "^", (0, (4, 1.5, 1, 1.5))),
    "redis_told": Look(GREEN, "X"), "get_unix": Look(PURPLE, "P", (0, (1, 1))), "get_tcp": Look(ORANGE, "^", (0, (4, 1.5, 1, 1.5))),
    "bare_ping": Look(BLACK, "s"),
    "manager_value": Look(BLACK, "P"), "value_server": Look(SKY, "D"),
}


class Form(NamedTuple):
    width: float  # inches
    height: float  # inches; 0: as the figure asks
    dpi: float
    text: float  # points


FORMS = {"page": Form(6.5, 0, 200, 7.5), "slide": Form(6, 3.375, 320, 8.5)}  # a slide is 1920 x 1080 and scales as SVG
ROUNDS = ("panel", "series", "x", "round", "value", "pace")  # columns of the CSV
DOTS = "dots: rounds, pale where the machine was disturbed"
CURVES = f"line: median of the calmest rounds · band: their 10th to 90th percentile · {DOTS} · dashed: "


def settings(text):
    """Everything matplotlib reads: nothing comes from the user's own settings, so the bytes are the same everywhere."""
    matplotlib.rcdefaults()
    matplotlib.rcParams.update({
        "font.size": text, "axes.labelsize": text, "xtick.labelsize": text, "ytick.labelsize": text,
        "font.family": "DejaVu Sans", "text.parse_math": False, "svg.hashsalt": "lab", "svg.fonttype": "path",
        "text.color": INK, "axes.edgecolor": GREY, "axes.labelcolor": INK, "xtick.color": GREY, "ytick.color": GREY,
        "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.linewidth": 0.6, "xtick.major.width": 0.6,
        "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5, "axes.spines.top": False,
        "axes.spines.right": False, "lines.linewidth": 1.4, "hatch.linewidth": 0.5})


def wrap(text, inches, size, weight="normal"):
    """text broken into lines that are at most so wide."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    for letters in range(len(text), 9, -1):
        lines = textwrap.wrap(text, letters) or [""]
        if max(text_to_path.get_text_width_height_descent(s, font, False)[0] for s in lines) <= inches * 72:
            return lines
    return textwrap.wrap(text, 10)


def commit_in_words(described):
    """What git describe says: the commit, and whether what was built differed from it."""
    commit = described.removesuffix("-dirty")
    return f"commit {commit[:24]}" + " + changes" * (commit != described)


class Sheet:
    """A figure under its finding: panels side by side, a footer that says where the data come from, rows for the CSV."""

    def __init__(self, result, form, title, panels=1, height=3.2, key=CURVES + "ideal", left=0.5, right=0.2, gap=0.6,
                 below=0.42, above=0.42, widths=None, stacked=False, columns=ROUNDS):
        self.form, self.title, self.columns, self.rows = FORMS[form], title, columns, []
        settings(self.form.text)
        width, height, small, large = self.form.width, self.form.height or height, self.form.text - 1.7, self.form.text + 2.5
        self.figure = Figure(figsize=(width, height))
        quick = result.size == "quick"
        head = wrap(title, width - 0.2 - 0.75 * quick, large, "bold")
        env = result.environment
        where = [env.get("cpu"), env.get("topology"), env.get("allowed_cpus") and f"allowed CPUs {env['allowed_cpus']}",
                 env.get("compiler"), env.get("commit") and commit_in_words(env["commit"]), result.date[:10], result.size]
        foot = wrap(key, width - 0.2, small) + wrap(" · ".join(w.replace(" ", "\u00a0") for w in where if w), width - 0.2,
                                                     small)
        line, foot_line = large / 72 * 1.25, small / 72 * 1.35
        for at, words in enumerate(head):
            self.figure.text(0.1 / width, 1 - (0.08 + at * line) / height, words, size=large, weight="bold", va="top")
        for at, words in enumerate(reversed(foot)):
            self.figure.text(0.1 / width, (0.07 + at * foot_line) / height, words, size=small, color=GREY)
        if quick:
            self.figure.text(1 - 0.12 / width, 1 - 0.1 / height, "QUICK", size=large, weight="bold", ha="right", va="top",
                             color="white", bbox={"facecolor": VERMILLION, "edgecolor": "none", "pad": 2})
        bottom = (0.12 + len(foot) * foot_line + below) / height
        top = 1 - (0.08 + len(head) * line + above) / height
        room = width - left - right
        tall = max(top - bottom, 0.05)
        share = gap * panels / ((tall * height if stacked else room) - gap * (panels - 1))
        shape = (panels, 1) if stacked else (1, panels)
        self.axes = self.figure.subplots(*shape, squeeze=False, gridspec_kw={
            "left": left / width, "right": 1 - right / width, "bottom": bottom, "top": bottom + tall,
            "width_ratios": None if stacked else widths, "wspace": share, "hspace": share}).ravel()

    def head(self, ax, panel, unit=""):
        """What a panel shows, and below it the unit and direction of its values."""
        ax.annotate(panel, (0, 1), (0, self.form.text * 1.25 * bool(unit) + 5), xycoords="axes fraction",
                    textcoords="offset points", weight="bold", va="bottom")
        ax.annotate(unit, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", va="bottom", color=GREY)

    def add(self, panel, name, x, series):
        """The rounds of one variant, for the CSV."""
        self.rows += [(panel, name, x, p.round, p.value, p.pace) for p in series]

    def curve(self, ax, panel, name, serieses, look, marker_size=4):
        """serieses {x: Series}: median line, percentile band, dots. Set the axes first."""
        told = [x for x in serieses if serieses[x]]
        columns = [[serieses[x].percentile(q) for x in told] for q in (10, 50, 90)]
        ax.fill_between(told, columns[0], columns[2], color=look.colour, alpha=0.2, lw=0, zorder=2)
        ax.vlines(told, columns[0], columns[2], color=look.colour, alpha=0.3, lw=3, zorder=2)
        ax.plot(told, columns[1], color=look.colour, ls=look.line, marker=look.marker, ms=marker_size,
                mec="white", mew=0.5, zorder=4)
        for x, series in serieses.items():
            rounds(ax, x, series, look)
            self.add(panel, name, x, series)

    def bar(self, ax, row, series, look, start):
        """A bar across from `start` to the median, with a whisker from the 10th to the 90th percentile."""
        ax.barh(row - 0.12, series.median - start, 0.46, left=start, color=look.colour, alpha=0.9, hatch=look.hatch,
                ec="white", lw=0)
        ax.plot([series.percentile(10), series.percentile(90)], [row - 0.12] * 2, color=INK, lw=1.1, marker="|", ms=5, zorder=6)

    def files(self):
        """{suffix: bytes} of the finished figure."""
        made = {".csv": to_csv(self.columns, self.rows)}
        for kind, about in (("svg", {"Date": None, "Creator": None, "Title": self.title}), ("png", {"Software": None})):
            made[f".{kind}"] = io.BytesIO()
            self.figure.savefig(made[f".{kind}"], format=kind, dpi=self.form.dpi, metadata=about)
            made[f".{kind}"] = made[f".{kind}"].getvalue()
        return made
