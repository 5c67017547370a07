"""The words of a finding: the number in a title, or why there is none."""

ENOUGH = 6  # valid rounds; with fewer there is no verdict


def times(ratio):
    """1.97x; fewer digits for larger ratios, two for small ones."""
    if ratio is None:
        return "?"
    if ratio < 0.1:
        return f"{ratio:.2g}x"
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def cannot_tell(series, words=""):
    """The sentence of a title without a verdict; empty when the series has enough valid rounds for one."""
    count = len(series.valid)
    if count >= ENOUGH:
        return ""
    rounds = "no valid round" if count == 0 else f"{count} valid round{'s' * (count != 1)}"
    return f"can't tell: {rounds}" + (f" ({words})" if words and count else "")


def unit(nanoseconds):
    """(factor, name): what times in nanoseconds are best shown in."""
    largest = max(nanoseconds, default=1)
    for factor, name in ((1e9, "seconds"), (1e6, "milliseconds"), (1e3, "microseconds")):
        if largest >= factor:
            return 1 / factor, name
    return 1, "nanoseconds"
