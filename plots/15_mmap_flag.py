"""15_mmap_flag: what a candidate costs against the poll interval, by the way the byte is read."""
from flags import against_interval


def interval(result, form):
    """The byte as memory, by seek and read, by a system call; beside them the other loop and a RawValue."""
    return against_interval(result, form, "mmap.same_as_raw",
                            {"mapped_byte": "as memory", "seek_and_read": "seek and read", "pread": "pread"},
                            {"raw_value": "RawValue", "counted": "as memory,\ncounting loop"})


FIGURES = (interval,)
