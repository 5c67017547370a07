#!/usr/bin/python3
"""Draws the figures of the records found: draw.py [--results DIR] [--format page|slide] [--out DIR] [LAB...]

Exit status: 0 drawn (labs without a record are skipped with a sentence), 1 a record is damaged or a figure failed,
2 bad options, 77 matplotlib is missing."""
import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def say(words):
    print(words, file=sys.stderr)


def write_whole(path, content):
    """Writes bytes whole or not at all: a temporary file beside the target, then a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def lab_of(path):
    """02_gil of 02_gil.json and of 02_gil.rounds=8.json, the record of a run with options of its own."""
    return path.stem.partition(".")[0]


def draw_record(path, form, folder, results):
    """Draws every figure of one record; 1 when something was wrong with it, else 0."""
    try:
        record = results.read(path)
    except results.Damaged as error:
        say(error)
        return 1
    status = 0
    for figure in importlib.import_module(lab_of(path)).FIGURES:
        name = f"{record.name}_{figure.__name__}" + "_slide" * (form == "slide")
        try:
            for suffix, content in figure(record, form).files().items():
                write_whole(folder / (name + suffix), content)
            print(folder / f"{name}.svg")
        except results.Missing as reason:
            say(f"{name} is not drawn from {path}: {reason}")
        except Exception as error:  # one figure never stops the others
            say(error if isinstance(error, results.Damaged) else f"{name} failed on {path}: {type(error).__name__}: {error}")
            status = 1
    return status


def main(arguments=None):
    labs = {path.stem: path for path in sorted(HERE.glob("[0-9][0-9]_*.py"))}
    parser = argparse.ArgumentParser(prog="draw.py", description="Draws the figures of the records found.")
    parser.add_argument("--results", type=Path, metavar="DIR", help="records below this folder (default: results)")
    parser.add_argument("--format", choices=("page", "slide"), default="page", help="for a page 6.5 inches wide, or 16:9")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: figures/ beside the records)")
    parser.add_argument("labs", nargs="*", metavar="LAB", help="such as 02 or 02_gil (default: every lab with a record)")
    options = parser.parse_args(arguments)
    wanted = {name for name in labs for word in options.labs or [name] if word in (name, name[:2])}
    strangers = [word for word in options.labs if not any(word in (name, name[:2]) for name in labs)]
    if strangers:
        parser.error(f"no figure for {', '.join(strangers)}; there are {', '.join(labs)}")
    if options.results and not options.results.is_dir():
        parser.error(f"there is no folder {options.results}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        say("the figures need matplotlib: apt-get install python3-matplotlib, then run them with /usr/bin/python3")
        return 77
    import results
    root = options.results or Path("results")
    found = sorted(p for p in root.rglob("[0-9][0-9]_*.json") if not p.name.endswith(".trace.json") and lab_of(p) in wanted)
    machines = {path.parent for path in found}
    status = 0
    for path in found:
        folder = path.parent / "figures"
        if options.out:
            folder = options.out / path.parent.name if len(machines) > 1 else options.out
        status |= draw_record(path, options.format, folder, results)
    for name in sorted(wanted - {lab_of(path) for path in found}):
        say(f"{name} is skipped: no record below {root}; run its lab first")
    return status


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main())
