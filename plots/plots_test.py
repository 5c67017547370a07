"""Tests of the figures, on made-up records: python3 plots_test.py"""
import contextlib
import csv
import importlib
import io
import json
import re
import subprocess
import sys
import tempfile
import unittest
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))

import draw  # noqa: E402
import findings  # noqa: E402
import results  # noqa: E402
import synthetic  # noqa: E402
from series import Point, Series  # noqa: E402

FIGURES = {"01_cores": ("workers", "amdahl", "machine"), "02_gil": ("timeline", "speed_up", "convoy"),
           "04_start_methods": ("cost", "memory", "inheritance"), "05_pipe": ("size", "one_byte", "streaming"),
           "06_pool_map": ("timeline", "cost"), "10_chunk_size": ("chunk_size", "chunk_count"),
           "11_queue_sentinels": ("break_even", "sentinels"),
           "12_verify_pool": ("bars",), "13_manager_value": ("interval", "every_flag"), "14_raw_value": ("interval",), "15_mmap_flag": ("interval",),
           "16_redis_flag": ("pipelining", "interval")}
NAMES = {f"{lab}_{figure}{kind}" for lab, figures in FIGURES.items() for figure in figures
         for kind in (".svg", ".png", ".csv")}


class Drawing(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def draw(self, *arguments):
        """(status, stdout, stderr) of draw.py on the test's folder; a warning is an error."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                status = draw.main(["--results", str(self.root), *map(str, arguments)])
            except SystemExit as stop:
                status = stop.code
        return status, out.getvalue(), err.getvalue()

    def title(self, figure):
        return re.search("<title>(.*?)</title>", self.drawn()[figure + ".svg"].decode()).group(1)

    def drawn(self, folder="m/figures"):
        return {path.name: path.read_bytes() for path in sorted((self.root / folder).glob("*"))}

    def store_all(self, machine):
        folder = self.root / machine
        for made, spans in ((synthetic.cores(machine), None), (synthetic.gil(machine), synthetic.trace()),
                            (synthetic.starts(machine), None),
                            (synthetic.pipe(machine, size="normal" if machine == "small" else "full"), None),
                            (synthetic.pool(machine), synthetic.pool_trace()),
                            (synthetic.queues(machine), synthetic.queues_trace()), (synthetic.chunks(machine), None),
                            (synthetic.verify_pool(machine), None), (synthetic.manager_value(machine), None),
                            (synthetic.raw_value(machine), None),
                            (synthetic.mmap_flag(machine), None), (synthetic.redis_flag(machine), None)):
            synthetic.store(folder, made, spans)

    def test_every_figure_with_the_same_bytes_in_another_process(self):
        self.store_all("small")
        status, printed, said = self.draw()
        self.assertEqual((status, printed.count("\n"), said), (0, sum(map(len, FIGURES.values())), ""))
        run = [sys.executable, "-B", str(HERE / "draw.py"), "--results", str(self.root), "--out", str(self.root / "again")]
        subprocess.run(run, check=True, timeout=300, stdout=subprocess.DEVNULL)
        self.assertEqual(self.drawn("small/figures"), self.drawn("again"))
        self.assertEqual(set(self.drawn("again")), NAMES)

    def test_figures_of_larger_machines(self):
        self.store_all("large")
        synthetic.store(self.root / "shared", synthetic.cores("shared"))
        status, printed, said = self.draw()
        self.assertEqual((status, printed.count("\n"), said), (0, sum(map(len, FIGURES.values())) + len(FIGURES["01_cores"]), ""))

    def test_slides_do_not_replace_pages_and_are_16_to_9(self):
        synthetic.store(self.root / "m", synthetic.cores())
        self.assertEqual(self.draw("01")[0], 0)
        pages = self.drawn()
        self.assertEqual(self.draw("--format", "slide", "01_cores")[0], 0)
        both = self.drawn()
        self.assertEqual({name: both[name] for name in pages}, pages)
        png = both["01_cores_workers_slide.png"]
        self.assertEqual((int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")), (1920, 1080))

    def test_csv_holds_every_round_of_the_record(self):
        made = synthetic.gil()
        synthetic.store(self.root / "m", made)
        self.assertEqual(self.draw("02")[0], 0)
        times = {(r["run_name"], r["repetition_index"]): r["real_time"] for r in made["benchmarks"]}
        rows = list(csv.DictReader(self.drawn()["02_gil_speed_up.csv"].decode().splitlines()))
        self.assertEqual(len(rows), 2 * 4 * 15)
        for row in rows:
            at = int(row["round"])
            ratio = times[f"serial/threads:{row['x']}", at] / times[f"{row['series']}/threads:{row['x']}", at]
            self.assertAlmostEqual(float(row["value"]), ratio, places=6)
            self.assertEqual(row["pace"], "0.6" if at in (3, 9) else "0.99")

    def test_title_is_the_verdict_of_the_record(self):
        synthetic.store(self.root / "m", synthetic.cores())
        synthetic.store(self.root / "m", synthetic.gil())
        synthetic.store(self.root / "m", synthetic.starts())
        self.assertEqual(self.draw("01", "02", "04")[0], 0)
        for figure, words in (("01_cores_workers", "Held: What cores.linear says: 1.987x [1.93, 2.01]"),
                              ("01_cores_amdahl", "Can't tell: What cores.amdahl says: between 0.88 and 1.21x"),
                              ("02_gil_convoy", "Not held: What gil.convoy says: 7.5 MiB [7.25, 8]"),
                              ("02_gil_speed_up", "Not testable here: What gil.no_speedup says"),
                              ("04_start_methods_memory", "Held: What start.copy_on_write says"),
                              ("04_start_methods_cost", "04_start_methods")):  # no such claim: the lab's title
            self.assertEqual(self.title(figure).replace("\u00a0", " "), words)

    def test_titles_name_claims_that_labs_state(self):
        stated = (HERE.parent / "docs" / "claims.md").read_text()
        for figures in HERE.glob("[0-9][0-9]_*.py"):
            for claim in re.findall(r'verdict\(result, "(.*?)"', figures.read_text()):
                self.assertRegex(stated, rf"(?m)^{re.escape(claim)} ", figures.name)

    def test_disturbed_rounds_are_pale(self):
        def pale(bad):
            synthetic.store(self.root / "m", synthetic.cores(bad=bad))
            self.assertEqual(self.draw("01")[0], 0)
            return self.drawn()["01_cores_workers.svg"].decode().count("fill: #c9c9c9")
        self.assertGreater(pale(lambda at: at == 3), pale(lambda at: False))

    def test_no_line_over_sizes_that_were_not_run(self):
        stretches = importlib.import_module("05_pipe").stretches
        self.assertEqual([list(part) for part in stretches({1: "a", 4: "b", 64: "c"}, [1, 4, 16, 64, 256])], [[1, 4], [64]])

    def test_what_cannot_be_told_of_inheritance_is_not_counted(self):
        made = synthetic.starts()
        made["lab"]["tables"]["what a worker inherits"] += "bound to one CPU" + "  can't tell" * 4 + "\n"
        synthetic.store(self.root / "m", made)
        self.assertEqual(self.draw("04")[0], 0)
        self.assertEqual(self.title("04_start_methods_inheritance"),
                         "Of 2 changes a worker finds: fork 2, spawn 1, forkserver 0, thread 2")
        self.assertIn("bound to one CPU,thread,\n", self.drawn()["04_start_methods_inheritance.csv"].decode())

    def test_quick_is_marked(self):
        pictures = []
        for size in ("normal", "quick"):
            synthetic.store(self.root / "m", synthetic.cores(size=size))
            self.assertEqual(self.draw("01")[0], 0)
            pictures.append("QUICK" in self.drawn()["01_cores_machine.svg"].decode())
        self.assertEqual(pictures, [False, True])

    def test_damaged_records_say_so_and_change_nothing(self):
        path = synthetic.store(self.root / "m", synthetic.cores())
        synthetic.store(self.root / "other", synthetic.gil())
        self.assertEqual(self.draw("01")[0], 0)
        before, good = self.drawn(), path.read_text()
        other = json.loads(good)
        other["lab"]["schema"] = 1
        holed = json.loads(good)
        del holed["lab"]["claims"], holed["benchmarks"][3]["run_name"]
        for bad in (good[:1000], "", "[]", "null", "{}", '{"lab": 3}', "[" * 100000, '{"lab": ' + "9" * 5000 + "}", "\x00\xff",
                    json.dumps(other), json.dumps(holed), '{"lab": {"schema": 2}, "benchmarks": 7}'):
            path.write_text(bad, encoding="latin-1")
            status, printed, said = self.draw("01")
            self.assertEqual((status, printed, said.count("\n")), (1, "", 1), bad[:50])
            self.assertIn(str(path), said)
            self.assertEqual(self.drawn(), before)
        status, printed, said = self.draw()
        self.assertEqual((status, "02_gil_convoy" in printed), (1, True))  # the others are still drawn

    def test_hostile_measurements_are_drawn_or_named(self):
        for make, hurt in ((synthetic.cores, "equal_jobs/workers:2"), (synthetic.gil, "processes/threads:2")):
            made = make()
            worst = [float("nan"), float("inf"), 1e300, 10 ** 400, -1, 0, None, "fast", [], True, 1e14, 1e-300]
            for run, value in zip((r for r in made["benchmarks"] if r["run_name"] == hurt), worst):
                run["real_time"] = value
            made["benchmarks"] += [{"run_name": name, "real_time": 5e6, "repetition_index": 0, "pace_low": "$\\frac{\n\x07"}
                                   for name in ("", "/", "serial_share/percent:99/workers:9999999", "equal_jobs/workers:0",
                                                "equal_jobs/workers:9999999999999", "io_beside/cpu_threads:1/interval_us:0")]
            made["lab"]["environment"].update(cpu="$\\frac{ " + "W" * 500, commit="\u202e\n", compiler=None, topology="999999999 cores")
            made["lab"]["tables"] = {"drawing": "package 0: core 999999: (cpu 99)\npackage : ;;;", "counts": ":\n" * 999}
            synthetic.store(self.root / "m", made)
        status, printed, said = self.draw()
        self.assertEqual((status, printed.count("\n")), (0, 5), said)

    def test_missing_variants_leave_out_only_their_figure(self):
        made = synthetic.cores()
        made["benchmarks"] = [r for r in made["benchmarks"] if "small" not in r["run_name"] and "share" not in r["run_name"]]
        made["lab"]["tables"] = {}
        synthetic.store(self.root / "m", made)
        status, printed, said = self.draw("01")
        self.assertEqual((status, printed.count("\n"), len(said.splitlines())), (0, 1, 2))
        made["benchmarks"] = []
        synthetic.store(self.root / "m", made)
        self.assertEqual(self.draw("01")[:2], (0, ""))

    def test_the_chart_of_all_flags_shows_what_there_is_and_names_what_is_missing(self):
        flags = importlib.import_module("flags")
        csv_of = lambda: {(row["panel"], row["series"]) for row in csv.DictReader(
            self.drawn()["13_manager_value_every_flag.csv"].decode().splitlines())}
        native, python = flags.PACES.values()
        synthetic.store(self.root / "m", synthetic.manager_value())
        self.assertEqual(self.draw("13")[0], 0)
        alone = csv_of()
        self.assertLessEqual({(native, "manager_value"), (python, "manager_value")}, alone)
        self.assertNotIn((native, "raw_value"), alone)
        redis = synthetic.flag("16_redis_flag", {"redis_unix": (12_000, (1, 1000, 10 ** 6))}, paces=(("", 5), ("_python", 75)))
        slow = synthetic.flag("14_raw_value.pace=python", {"raw_value": (0.2, (1, 1000, 10 ** 6))}, paces=(("", 75),))
        for made in (redis, slow, synthetic.raw_value(), synthetic.mmap_flag()):
            synthetic.store(self.root / "m", made)
        self.assertEqual(self.draw("13")[0], 0)
        self.assertLessEqual({(native, "raw_value"), (native, "pread"), (native, "redis_unix"), (python, "redis_unix"), (python, "raw_value"),
                              (native, "manager_value pays from here on")}, csv_of())
        self.assertEqual(flags.missing({"": flags.LABS, "_python": ("13_manager_value",)}),
                         "missing at Python's pace: lab 14, lab 15, lab 16")
        self.assertEqual(flags.missing({"": flags.LABS, "_python": flags.LABS}), "")

    def test_a_run_with_options_of_its_own_is_drawn_beside(self):
        for name in ("02_gil", "02_gil.rounds=8"):
            made = synthetic.gil()
            made["lab"]["name"] = name
            synthetic.store(self.root / "m", made, synthetic.trace())
        self.assertEqual(self.draw("02")[0], 0)
        for name in ("02_gil_timeline.svg", "02_gil.rounds=8_timeline.svg"):
            self.assertIn(name, self.drawn())

    def test_damaged_trace_costs_only_the_timeline(self):
        path = synthetic.store(self.root / "m", synthetic.gil(), {"traceEvents": [{"ph": "X", "name": "holds"}]})
        status, printed, said = self.draw("02")
        self.assertEqual((status, printed.count("\n")), (1, 2))
        self.assertIn("02_gil.trace.json is damaged", said)
        path.with_suffix(".trace.json").unlink()
        self.assertEqual(self.draw("02")[0], 0)

    def test_options(self):
        self.assertEqual(self.draw()[0], 0)  # no record: a sentence a lab, no error
        self.assertEqual(len(self.draw()[2].splitlines()), len(FIGURES))
        for bad in (["--format", "poster"], ["99_nothing"], ["--results", str(self.root / "nowhere")], ["--oops"]):
            self.assertEqual(self.draw(*bad)[0], 2)
        synthetic.store(self.root / "m", synthetic.cores())
        self.root = self.root / "m"  # a machine's folder itself will do
        self.assertEqual(self.draw("01", "--out", self.root / "here")[1].count("here/01_cores_"), 3)

    def test_failed_write_leaves_the_old_file_and_nothing_else(self):
        target = self.root / "a.svg"
        draw.write_whole(target, b"old")
        with self.assertRaises(TypeError):
            draw.write_whole(target, "no bytes")
        self.assertEqual([(p.name, p.read_bytes()) for p in self.root.iterdir()], [("a.svg", b"old")])


class Statistics(unittest.TestCase):
    def test_the_calmest_rounds_make_the_median(self):
        calm = lambda paces: Series(Point(at, float(at), pace) for at, pace in enumerate(paces)).calm
        self.assertEqual(calm([1.0] * 10 + [0.5] * 5), [float(at) for at in range(10)])  # all that are undisturbed
        self.assertEqual(sorted(calm([0.5] * 5 + [1.0] * 4 + [0.6] * 6)), [float(at) for at in range(5, 14)])  # or nine
        self.assertEqual(calm([0.5] * 3), [0, 1, 2])

    def test_pairs_need_both_sides(self):
        a = Series([Point(0, 4.0), Point(1, 6.0), Point(3, 1.0)])
        b = Series([Point(0, 2.0), Point(1, 2.0, 0.7), Point(2, 1.0)])
        self.assertEqual(a.over(b), [(0, 2.0, 1.0), (1, 3.0, 0.7)])
        self.assertEqual((Series().median, Series().percentile(10)), (None, None))

    def test_small_and_large_ratios_keep_their_digits(self):
        self.assertEqual([findings.times(r) for r in (0.0038, 0.97, 12.3, None)], ["0.0038x", "0.97x", "12x", "?"])

    def test_limits_come_from_the_drawing_else_the_topology(self):
        made = synthetic.cores("shared")
        self.assertEqual(results.Result(Path("01_cores.json"), made).limits(), (32, 32))
        made["lab"]["tables"] = {}
        made["lab"]["environment"].update(allowed_cpus="0-3,8", quota="1.5")
        self.assertEqual(results.Result(Path("01_cores.json"), made).workers(), 2)
        self.assertEqual(results.Result(Path("01_cores.json"), made).limits(), (5, 5))


if __name__ == "__main__":
    unittest.main()
