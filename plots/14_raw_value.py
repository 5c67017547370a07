"""14_raw_value: what a candidate costs against the poll interval, by flag."""
from flags import against_interval


def interval(result, form):
    """RawValue and Value, and beside them their kin."""
    return against_interval(result, form, "raw.free", {"raw_value": "RawValue", "value": "Value"},
                            {"raw_array": "RawArray", "array": "Array", "atomic": "atomic"})


FIGURES = (interval,)
