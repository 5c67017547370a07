"""Records and traces in the form the labs write them, made up: for the tests of the figures."""
import json
import random

MACHINES = {
    "small": {"topology": "1 package, 2 cores, 2 hardware threads", "allowed_cpus": "0-1", "cpu": "AMD EPYC",
              "drawing": "package 0: core 0: cpu 0; core 1: cpu 1", "cores": 2, "threads": 2},
    "large": {"topology": "1 package, 8 cores, 16 hardware threads", "allowed_cpus": "0-15",
              "cpu": "AMD Ryzen 7 7700X 8-Core Processor",
              "drawing": "package 0: " + "; ".join(f"core {c}: cpu {c} cpu {c + 8}" for c in range(8)),
              "cores": 8, "threads": 16},
    "shared": {"topology": "2 packages, 64 cores, 128 hardware threads", "allowed_cpus": "0-31",
               "cpu": "Intel Xeon Platinum 8358",
               "drawing": "\n".join(f"package {p}: " + "; ".join(f"core {c}: " + " ".join(
                   f"cpu {n}" if n < 32 else f"(cpu {n})" for n in (c, c + 64)) for c in range(32 * p, 32 * p + 32))
                   for p in range(2)), "cores": 32, "threads": 32},
}


class Maker:
    """Collects measurements, a round each; `bad(round)` says which are disturbed."""

    def __init__(self, rounds, bad=lambda at: False):
        self.rounds, self.bad, self.runs, self.chance = rounds, bad, [], random.Random(7)

    def add(self, name, nanoseconds, noise=0.01, **counters):
        for at in range(self.rounds):
            slow = self.bad(at)
            factor = self.chance.lognormvariate(0, noise) * (1.6 if slow else 1)
            run = {"name": name, "run_name": name, "run_type": "iteration", "repetitions": self.rounds,
                   "repetition_index": at,
                   "iterations": 1, "real_time": nanoseconds * factor, "cpu_time": nanoseconds * factor, "time_unit": "ns",
                   "pace_low": 0.6 if slow else 0.99, "pace_high": 1.0, "kept": 1.0, "cpu_share": 0.99, "workers": 0}
            run.update({k: v * factor for k, v in counters.items()})
            self.runs.append(run)


CLAIMS = {"cores.linear": {"estimate": 1.987, "low": 1.93, "high": 2.01},
          "cores.amdahl": {"verdict": "can't tell", "estimate": 1.02, "low": 0.88, "high": 1.21},
          "gil.convoy": {"verdict": "not held", "estimate": 7.5, "low": 7.25, "high": 8, "unit": " MiB"},
          "gil.no_speedup": {"verdict": "needs"}, "start.copy_on_write": {}}


def claim(name, verdict="held", estimate=None, low=None, high=None, unit="x"):
    return {"id": name, "kind": "ratio", "text": f"What {name} says", "source": "", "unit": unit, "band": [None, None],
            "estimate": estimate, "low": low, "high": high, "used_rounds": 15, "rounds": 15, "verdict": verdict, "reason": ""}


def record(name, machine, runs, size="normal"):
    about = MACHINES[machine]
    names = ("CPUs the kernel could have", "CPUs running now (os.cpu_count)", "hardware threads of the machine",
             "physical cores of the machine", "CPUs this process may use (os.process_cpu_count)",
             "physical cores it may use", "CPUs' worth of time the quota grants", "std::thread::hardware_concurrency")
    counts = "\n".join(f"{name}: {'no limit' if 'quota' in name else about['threads']}" for name in names)
    return {"context": {"num_cpus": about["threads"]}, "benchmarks": runs, "lab": {
        "schema": 2, "name": name, "title": name, "size": size, "date": "2025-05-01T10:00:00Z",
        "claims": [claim(name, **about) for name, about in CLAIMS.items()], "floors": [],
        "environment": {"cpu": about["cpu"], "topology": about["topology"], "allowed_cpus": about["allowed_cpus"],
                        "quota": None,
                        "compiler": "g++ 12.2.0", "commit": "875195f", "kernel": "6.1", "load": "0.1"},
        "prediction": None, "tables": {"drawing": about["drawing"], "counts": counts}}}


def cores(machine="small", rounds=15, size="normal", bad=lambda at: at in (3, 9)):
    maker, real = Maker(rounds, bad), MACHINES[machine]["cores"]
    counts = sorted({1, 2, 4, 8, 16} | set(range(1, min(real, 64) + 1)))
    maker.add("serial", 8e8)
    for n in counts:
        share = -(-8 // n) / 8 if n <= real else max(1 / 8, 1 / real) * 1.01
        maker.add(f"equal_jobs/workers:{n}", 8e8 * share)
        maker.add(f"small_jobs/workers:{n}", 6.4e7 / min(n, real) * (1 + 0.01 * n))
    for percent in (0, 5, 25, 50):
        for n in [n for n in counts if n <= real]:
            law = percent / 100 + (1 - percent / 100) / n
            maker.add(f"serial_share/percent:{percent}/workers:{n}", 1e8 * law * (1 + 0.003 * n))
    return record("01_cores", machine, maker.runs, size)


def gil(machine="small", rounds=15, size="normal", bad=lambda at: at in (3, 9)):
    maker, real = Maker(rounds, bad), MACHINES[machine]["cores"]
    for k in (2, 4):
        maker.add(f"serial/threads:{k}", k * 5e7)
        maker.add(f"threads_under_gil/threads:{k}", k * 5.1e7)
        maker.add(f"threads_under_old_gil/threads:{k}", k * 6.5e7, 0.06)
        maker.add(f"threads_without_lock/threads:{k}", k * 5.2e7 / min(k, real))
        maker.add(f"processes/threads:{k}", k * 5.1e7 / min(k, real))
    maker.add("io_beside/cpu_threads:0/interval_us:5000", 1e9, round_trip_s=1080e-6)
    for c in (1, 2):
        for i in (500, 5000, 50000):
            trip = 1080 + i * (1.02 if c == 1 else 1.45)
            maker.add(f"io_beside/cpu_threads:{c}/interval_us:{i}", 1e9, 0.02, round_trip_s=1e-6 * trip)
    return record("02_gil", machine, maker.runs, size)


def starts(machine="small", rounds=15, size="normal", bad=lambda at: at in (3, 9)):
    maker = Maker(rounds, bad)
    for mib in (0, 64, 256, 1024):
        maker.add(f"fork/mib:{mib}", 2.4e5 + 1.5e4 * mib)
        for name, nanoseconds in (("spawn", 4.6e5), ("forkserver", 3.2e5), ("thread", 3.3e4)):
            maker.add(f"{name}/mib:{mib}", nanoseconds)
        if mib:
            maker.add(f"fork_huge_pages/mib:{mib}", 2.6e5 + 1.1e3 * mib)
    for name, nanoseconds in (("spawn_lab", 1.5e6), ("spawn", 4.2e5), ("spawn_empty", 3.2e5), ("fork", 2e5), ("vfork", 3e4), ("thread", 2.1e4)):
        maker.add(f"bare_{name}", nanoseconds)
    made = record("04_start_methods", machine, maker.runs, size)
    made["lab"]["tables"]["memory of a worker"] = (
        "private MiB of a worker; its parent holds a table of 64 MiB\n"
        "              at start  table read  written to  own one loaded\n"
        "fork               0.1         0.1        64.1           128.1\n"
        "spawn              0.3    has none    has none            64.3\n"
        "forkserver         0.1    has none    has none            64.1\n")
    made["lab"]["tables"]["what a worker inherits"] = (
        "changed by the parent just before      fork       spawn  forkserver      thread\n"
        "a global variable                 inherited          no          no   inherited\n"
        "the environment                   inherited   inherited          no   inherited\n")
    return made


def pipe(machine="small", rounds=15, size="normal", bad=lambda at: at in (3, 9)):
    maker = Maker(rounds, bad)
    page, mib, full = 4096, 1 << 20, size == "full"
    for function, wake, per_byte, largest, few in (
            ("pipe", 9500, 0.7, 16 * mib, (1, page, 32768, mib, 4 * mib)), ("read_and_write", 9200, 0.68, 16 * mib, (1, page)),
            ("stream_socket", 10400, 0.8, 16 * mib, (1,)), ("seqpacket_socket", 10900, 0.8, 32768, ()),
            ("message_queue", 9900, 1, page, (1,)), ("ring", 9300, 0.4, 16 * mib, (1,)),
            ("spinning_ring", 350, 0.3, 16 * mib, (1,)), ("pipe_same_cpu", 2800, 0.6, 16 * mib, (1,)),
            ("ring_same_cpu", 2500, 0.5, 16 * mib, ()), ("spinning_ring_same_cpu", 8e6, 0.5, 1, (1,)),
            ("pipe_between_threads", 9400, 0.7, 16 * mib, (1,))):
        for n in [n for n in (1, 64, page, 32768, mib // 4, mib, 4 * mib, 16 * mib) if n <= largest] if full else few:
            maker.add(f"{function}/bytes:{n}", wake + n * per_byte, 0.03, cpu_ns=(wake + n * per_byte) / 3)
    for n, per_byte in ((mib, 0.04), (4 * mib, 0.06), (16 * mib, 0.1)):
        maker.add(f"memcpy_there_and_back/bytes:{n}", n * per_byte, 0.03)
    for function, each in (("pipe", 900), ("ring", 75), ("bare_ring", 44), *((("spinning_ring", 60),) if full else ())):
        maker.add(f"{function}_stream", 1000 * each, 0.03)
    maker.add("cache_line_bounce", 180)
    return record("05_pipe", machine, maker.runs, size)


def pool(machine="small", rounds=15, size="normal", bad=lambda at: at in (3, 9)):
    maker = Maker(rounds, bad)
    maker.add("pipe_round_trip", 9500)
    for workers in (1, 2):
        for method, ns in (("apply", 12000), ("apply_async", 2500), ("map_chunk_1", 1200), ("map", 30), ("imap", 4000),
                           ("imap_unordered", 4100)):
            maker.add(f"{method}/workers:{workers}", ns / workers if method != "apply" else ns)
    maker.add("starmap/workers:2", 20)
    return record("06_pool_map", machine, maker.runs, size)


def pool_trace():
    events = [{"name": "thread_name", "ph": "M", "pid": 1, "tid": t, "args": {"name": f"ForkPoolWorker-{t + 1}"}}
              for t in range(3)]
    at = [0.0] * 3
    for method, workers in (("apply", 1), ("apply_async", 3), ("map, chunks of 4", 3), ("map, chunks of 1", 3), ("imap", 3),
                            ("imap_unordered", 3)):
        for task in range(12):
            worker = min(range(workers), key=at.__getitem__)
            length = 1000.0 + task * 5 % 12 * 400
            events.append({"name": method, "ph": "X", "ts": at[worker], "dur": length, "pid": 1, "tid": worker})
            at[worker] += length
        at = [max(at)] * 3
    return {"traceEvents": events}


def queues(machine="small", rounds=15, size="normal", bad=lambda at: at in (3, 9)):
    maker = Maker(rounds, bad)
    for counts in (30, 300, 3000, 30000, 300000, 3000000):
        items, work = min(max(60_000_000 // counts, 20), 2000), counts / 3
        maker.add(f"sweep_serial/counts:{counts}", items * work)
        maker.add(f"sweep_queue/workers:2/counts:{counts}", items * max(work / 2, 6000))
    maker.add("sweep_queue/workers:1/counts:30", 2000 * 6000)
    return record("11_queue_sentinels", machine, maker.runs, size)


def verify_pool(machine="small", rounds=15, size="normal", bad=lambda at: at in (3, 9)):
    maker, workers = Maker(rounds, bad), MACHINES[machine]["cores"]
    for number, serial in enumerate((10, 2.4e6, 4.3e6, 8e6)):
        maker.add(f"serial/number:{number}", serial)
        maker.add(f"naive_pool/number:{number}", 8e6 / workers)
        maker.add(f"less_naive_pool/number:{number}", 8e6 / workers if number else 15)
    maker.add("bare_workers", 7.9e6 / workers, workers=workers)
    return record("12_verify_pool", machine, maker.runs, size)


def flag(name, polls, machine="small", rounds=15, size="normal", bad=lambda at: at in (3, 9), paces=(("", 5),)):
    """polls {function: (nanoseconds a poll, intervals)}; paces: the ending of the variants' names and what a candidate costs."""
    maker, workers = Maker(rounds, bad), MACHINES[machine]["cores"]
    each = 1_600_000 / workers
    for pace, work in paces:
        maker.add("no_flag" + pace, work * each, candidates=1_600_000, workers=workers)
        for function, (poll, intervals) in polls.items():
            for every in intervals:
                maker.add(f"{function}{pace}/every:{every}", (work + poll / every) * each, candidates=1_600_000, workers=workers)
    return record(name, machine, maker.runs, size)


def manager_value(machine="small", **how):
    tens = [10 ** k for k in range(7)] + [500]
    return flag("13_manager_value", {"manager_value": (11_000, tens), "value_server": (10_000, (1, 1000))}, machine,
                paces=(("", 5), ("_python", 75)), **how)


def raw_value(machine="small", **how):
    tens, two = [10 ** k for k in range(7)] + [500], (1, 1000)
    return flag("14_raw_value", {"raw_value": (0.2, tens), "value": (90, tens), "raw_array": (0.2, two), "array": (95, two),
                                 "atomic": (0.2, two)}, machine, **how)


def mmap_flag(machine="small", **how):
    tens = [10 ** k for k in range(7)] + [500]
    return flag("15_mmap_flag", {"mapped_byte": (0.2, tens), "seek_and_read": (6, tens), "pread": (300, tens),
                                 "raw_value": (0.2, (1,)), "counted": (0.5, (1, 1000))}, machine, **how)


def redis_flag(machine="small", **how):
    tens = [10 ** k for k in range(7)]
    made = flag("16_redis_flag", {"redis_unix": (20000, tens), "redis_tcp": (30000, (1, 1000)), "redis_told": (400, (1, 1000)),
                                  "raw_value": (0.2, tens)}, machine, **how)
    maker = Maker(15, lambda at: at in (3, 9))
    for way, trip in (("unix", 14000), ("tcp", 20000)):
        for depth in (1, 16, 128):
            maker.add(f"get_{way}/depth:{depth}", trip + 900 * depth)
    maker.add("bare_ping", 13500)
    made["benchmarks"] += maker.runs
    return made


def chunks(machine="small", rounds=15, size="normal", bad=lambda at: at in (3, 9)):
    maker, w, n = Maker(rounds, bad), max(2, MACHINES[machine]["cores"]), 100_000 if size == "full" else 50_000
    law = lambda chunks: 35e6 * -(-chunks // w) / chunks + 1000 * chunks
    maker.add("serial", 35e6)
    maker.add("shared_by_hand", 35e6 / w)
    for run in maker.runs:  # counts, and so without noise
        run.update({"workers": w, "numbers": n})
    for name, nanoseconds in (("empty_chunks", 1e7), ("countdowns_apart", 16e6), ("countdowns_together", 13e6)):
        maker.add(name, nanoseconds)
    for each in (1, 2, 4, 10, 50, 100, 1000, 5000):
        maker.add(f"chunk_size/size:{each}", law(-(-n // each)))
    for each in (10, 1000):
        maker.add(f"shuffled_size/size:{each}", law(n // each))
    for count in sorted({1, 2, 8 * w, 32 * w} | {k * w + d for k in (1, 2, 3, 4) for d in (-1, 0, 1)} - {4 * w}):
        maker.add(f"chunk_count/chunks:{count}", law(count))
    maker.add(f"default_size/numbers:{n}", law(4 * w))
    maker.add("shuffled_default", law(4 * w))
    return record("10_chunk_size", machine, maker.runs, size)


def queues_trace():
    events = [{"name": "thread_name", "ph": "M", "pid": 1, "tid": t, "args": {"name": f"worker {t}" if t else "parent"}} for t in range(3)]
    spans = [("works", w, 700.0 * n, 690) for w in (1, 2) for n in range(6)] + [("sends the sentinels", 0, 30.0, 4)]
    for w in (1, 2):
        spans += [("waits for a job", w, 4190.0, 5), ("reads a sentinel", w, 4200.0, 3), ("acknowledges", w, 4204.0, 4),
                  ("takes an acknowledgement", 0, 4100.0 + 10 * w, 12)]
    events += [{"name": what, "ph": "X", "ts": at, "dur": length, "pid": 1, "tid": tid} for what, tid, at, length in spans]
    return {"traceEvents": events}


def trace():
    events = [{"name": "thread_name", "ph": "M", "pid": 1, "tid": t, "args": {"name": f"thread {t}"}} for t in (1, 2)]
    chance, at = random.Random(3), {"new lock": 0.0, "old lock": 0.0}
    for turn in range(24):
        for lock, mean in (("new lock", 5060), ("old lock", chance.choice((40, 300, 12000, 31000)))):
            length, holder = mean * chance.uniform(0.95, 1.05), turn % 2 + 1
            for tid, what in ((holder, "holds"), (3 - holder, "waits")):
                events.append({"name": f"{lock}: {what}", "ph": "X", "ts": at[lock], "dur": length, "pid": 1, "tid": tid,
                               "args": {}})
            at[lock] += length
    return {"traceEvents": events}


def store(folder, made, spans=None):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{made['lab']['name']}.json"
    path.write_text(json.dumps(made))
    if spans:
        path.with_suffix(".trace.json").write_text(json.dumps(spans))
    return path
