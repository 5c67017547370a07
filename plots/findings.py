"""The words of a figure's title: a claim's verdict as the record has it. Nothing is judged here."""
from results import clean, number


def times(ratio):
    """1.97x; fewer digits for larger ratios, two for small ones."""
    if ratio is None:
        return "?"
    if ratio < 0.1:
        return f"{ratio:.2g}x"
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def verdict(result, claim):
    """The verdict on a claim of the record in plain words, with its interval; of no such claim, the lab's title."""
    found = result.claims.get(claim)
    if found is None:
        return result.title
    words = {"held": "Held", "not held": "Not held", "can't tell": "Can't tell"}.get(found["verdict"], "Not testable here")
    estimate, low, high = (number(found[key]) for key in ("estimate", "low", "high"))
    numbers, of = "", clean("." + str(found["unit"])[:20])[1:]  # "x", or " MiB"
    if low is not None and high is not None and words == "Can't tell":
        numbers = f"between {low:.4g} and {high:.4g}{of}"
    elif low is not None and high is not None and estimate is not None:
        numbers = f"{estimate:.4g}{of} [{low:.4g}, {high:.4g}]"
    return f"{words}: {clean(found['text'])}" + (f": {numbers}" if numbers else "").replace(" ", "\u00a0").replace("\u00a0", " ", 1)


def unit(nanoseconds):
    """(factor, name): what times in nanoseconds are best shown in."""
    largest = max(nanoseconds, default=1)
    for factor, name in ((1e9, "seconds"), (1e6, "milliseconds"), (1e3, "microseconds")):
        if largest >= factor:
            return 1 / factor, name
    return 1, "nanoseconds"
