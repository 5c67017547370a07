"""12_verify_pool: what a number costs serially, by the pools, and by an ideal flag; here and in the book."""
from axes import GREY, value_axis
from findings import verdict
from results import Missing
from style import INK, LOOKS, Sheet

VARIANTS = {"serial": "serial", "naive_pool": "naive pool", "less_naive_pool": "less naive pool"}
NUMBERS = {1: "non-prime 1", 2: "non-prime 2", 3: "prime 1"}
# High Performance Python, 1st ed., 4 processes, seconds; and its numbers' fractions.
BOOK = {"serial": (3.535195, 6.401186, 11.789789), "naive_pool": (2.941526, 2.941421, 2.982033),
        "less_naive_pool": (2.956475, 2.944949, 2.999555)}
# Where in its piece the factor lies, by the number of pieces: the share of a prime's time after which an ideal flag stops all.
FACTORS = {1: (10000003440671, 953111), 2: (10000007629921, 1715683)}


def fraction(number, workers):
    """Of the prime's own time by that many workers."""
    if number not in FACTORS:
        return 1.0
    n, factor = FACTORS[number]
    length = (int(n ** 0.5) + 1 - 21) // workers
    piece = min((factor - 21) // length, workers - 1)
    return (factor - 21 - piece * length) / length


def bars(result, form):
    """Time of each number as a share of the prime's serial time; marks where an ideal flag would be."""
    runs = {v: {k: result.series(v, number=k) for k in NUMBERS} for v in VARIANTS}
    prime = runs["serial"][3]
    if not prime or not all(s for by_number in runs.values() for s in by_number.values()):
        raise Missing("it takes serial, naive_pool and less_naive_pool, each with three numbers")
    workers = round(result.series("bare_workers", "workers").median or result.workers() or 1)
    sheet = Sheet(result, form, verdict(result, "verify.naive_no_early_exit"), panels=2, height=3.4, gap=0.35, right=0.1,
                  key="bar: median of the calmest rounds · whisker: their 10th to 90th percentile · black dash: an ideal flag, "
                  "which costs nothing and stops all workers at once (predicted)")
    ours = {v: {k: s.over(prime) for k, s in by_number.items()} for v, by_number in runs.items()}
    pool_prime = ours["less_naive_pool"][3].median
    book = {v: dict(zip(NUMBERS, (x / BOOK["serial"][2] for x in seconds))) for v, seconds in BOOK.items()}
    panels = ((f"This machine, {workers} workers", ours, pool_prime, workers),
              ("High Performance Python, 1st ed., 4 processes", book, book["less_naive_pool"][3], 4))
    for ax, (panel, values, ideal, pieces) in zip(sheet.axes, panels):
        for at, variant in enumerate(VARIANTS):
            look = LOOKS[variant]
            for number, value in values[variant].items():
                x = number + 0.26 * (at - 1)
                height = value if isinstance(value, float) else value.median
                ax.bar(x, height, 0.24, color=look.colour, hatch=look.hatch, ec="white", lw=0,
                       label=VARIANTS[variant] if number == 1 else None)
                if not isinstance(value, float):
                    ax.plot([x, x], [value.percentile(10), value.percentile(90)], color=INK, lw=1, marker="_", ms=4, zorder=6)
                    sheet.add(panel, variant, NUMBERS[number], value)
        for number in NUMBERS:
            ax.plot([number - 0.4, number + 0.4], [ideal * fraction(number, pieces)] * 2, color=INK, lw=1.6, zorder=5)
        ax.set_xticks(list(NUMBERS), list(NUMBERS.values()))
        ax.tick_params(axis="x", length=0)
        value_axis(ax.yaxis, [1.1])
        ax.axhline(1, color=GREY, ls=(0, (4, 3)), lw=0.6, zorder=0)
        sheet.head(ax, panel, "share of the prime's serial time, lower is better")
    sheet.axes[1].legend(loc="upper left", frameon=False)
    return sheet


FIGURES = (bars,)
