"""Reads the records and traces of results/<machine>/ and checks them."""
import csv
import io
import json
import math
import re
from typing import NamedTuple

from series import Point, Series

SCHEMA = 2
LARGEST = 64 << 20  # bytes of a record or trace; more is not one of ours
SHORTEST, LONGEST = 1e-3, 1e15  # nanoseconds: a time outside is a broken number
LIBRARY_ARGS = {"iterations", "repeats", "min_time", "min_warmup_time"}  # suffixes Google Benchmark adds to names


class Damaged(Exception):
    """A record or trace that cannot be trusted; the message is a sentence that names the file."""


class Missing(Exception):
    """What a figure needs is not in this record; the message says what, and how to get it."""


def number(value, largest=LONGEST):
    """value as a float, or None where it is no finite number of a believable size."""
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and -largest <= value <= largest
    return float(value) if ok else None


def clean(text):
    """One printable line of at most 200 characters: records come from elsewhere."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)[:200]).split())


class Result:
    """One record: name, title, size, date, claims, environment, tables, and its measurements as series."""

    def __init__(self, path, document):
        record, benchmarks = document["lab"], document["benchmarks"]
        self.path, self.name, self.claims = path, path.stem, {c["id"]: c for c in record["claims"]}
        self.size, self.date, self.title = (clean(record[k]) for k in ("size", "date", "title"))
        self.environment = {k: clean(v) for k, v in record["environment"].items() if v is not None}
        self.tables = {k: str(v) for k, v in (record.get("tables") or {}).items()}
        self.runs = {}
        for run in benchmarks:
            function, *parts = run["run_name"].split("/")
            args = dict(m.groups() for m in (re.fullmatch(r"(\w+):(\d{1,8})", part) for part in parts) if m)
            key = function, frozenset((k, int(v)) for k, v in args.items() if k not in LIBRARY_ARGS)
            if run.get("run_type", "iteration") == "iteration":
                self.runs.setdefault(key, []).append(run)

    def series(self, function, counter="real_time", **args):
        """The rounds of one variant: times in nanoseconds, or a counter in its own unit; empty when it was not run."""
        points = Series()
        for run in self.runs.get((function, frozenset(args.items())), []):
            value, shares = number(run.get(counter)), [number(run.get(name)) for name in ("pace_low", "kept")]
            if value is not None and (counter != "real_time" or value >= SHORTEST):
                pace = min([1.0] + [share for share in shares if share is not None])
                points.append(Point(int(number(run.get("repetition_index")) or 0), value, pace))
        return points

    def values(self, function, arg, **others):
        """The values of one argument a function was run with, ascending, at given values of its other arguments."""
        keys = (dict(args) for name, args in self.runs if name == function)
        return sorted(k[arg] for k in keys if arg in k and all(k.get(o) == v for o, v in others.items()))

    def limits(self):
        """(physical cores, hardware threads) this process could use; None for what the record does not say."""
        cores = re.findall(r"core \d+:([^;\n]*)", self.tables.get("drawing", ""))
        allowed = [len(re.findall(r"(?<!\()cpu \d+", core)) for core in cores]
        if sum(allowed):
            return sum(1 for count in allowed if count), sum(allowed)
        listed = re.findall(r"(\d{1,6})(?:-(\d{1,6}))?", self.environment.get("allowed_cpus", ""))
        count = sum(int(last or first) - int(first) + 1 for first, last in listed) or math.inf
        return tuple(min(total, count) if total else None for total in self.topology())

    def workers(self):
        """Workers for CPU-bound work here: min(allowed cores, ceil(quota)), at least 1; None when the record has no cores."""
        cores = self.limits()[0]
        quota = re.fullmatch(r"\d{1,6}(\.\d*)?", self.environment.get("quota", ""))
        return max(1, min(cores, math.ceil(float(quota.group())))) if cores and quota else cores

    def topology(self):
        """(physical cores, hardware threads) of the whole machine; None for what the record does not say."""
        found = (re.search(rf"\b(\d{{1,6}}) {word}", self.environment.get("topology", "")) for word in
                 ("cores?", "hardware threads?"))
        return tuple(int(m.group(1)) if m else None for m in found)


def load(path):
    """The JSON of one file. Raises Damaged with a sentence when it is unreadable or no JSON object."""
    try:
        if path.stat().st_size > LARGEST:
            raise Damaged(f"{path} is over {LARGEST >> 20} MiB: no record of a lab")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(f"{path} cannot be read: {clean(error)}; run the lab again") from error
    if not isinstance(document, dict):
        raise Damaged(f"{path} is no record: its JSON is not an object; run the lab again")
    return document


def read(path):
    """One record. Raises Damaged with a sentence when it is missing, damaged or of another schema."""
    document = load(path)
    schema = document["lab"].get("schema") if isinstance(document.get("lab"), dict) else None
    if schema != SCHEMA:
        raise Damaged(f"{path} has schema {clean(schema)}, the figures read {SCHEMA}; run the lab again")
    try:
        return Result(path, document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Damaged(f"{path} is damaged ({type(error).__name__}: {clean(error)}); run the lab again") from error


class Span(NamedTuple):
    name: str
    thread: str
    start: float  # microseconds, like length
    length: float


def read_trace(result):
    """The spans of a record's trace by start. Raises Missing where there is none, Damaged for a broken one."""
    path = result.path.with_suffix(".trace.json")
    if not path.exists():
        raise Missing(f"there is no {path}; run the lab with --trace")
    try:
        events = load(path)["traceEvents"]
        names = {e["tid"]: clean(e["args"]["name"]) for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
        spans = [Span(clean(e["name"]), names.get(e["tid"], f"thread {clean(e['tid'])}"), number(e["ts"]),
                      number(e["dur"])) for e in events if e["ph"] == "X"]
    except (KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{path} is damaged ({type(error).__name__}: {clean(error)}); run the lab again") from error
    return sorted((s for s in spans if s.start is not None and s.length is not None and s.length >= 0),
                  key=lambda s: (s.start, s.thread))


def to_csv(columns, rows):
    """Rows as CSV text in UTF-8: nine significant digits, empty for None."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([f"{v:.9g}" if isinstance(v, float) else v for v in row] for row in rows)
    return text.getvalue().encode()
