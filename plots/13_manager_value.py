"""13_manager_value: what a candidate costs against the poll interval, by a flag in a server; and all flags of the course together."""
from flags import against_interval, every_flag


def interval(result, form):
    """The machine's Manager at C++'s pace; beside it the lesson's server."""
    return against_interval(result, form, "manager.poll_cost", {"manager_value": "Manager"}, {"value_server": "the lesson's\nserver"})


FIGURES = (interval, every_flag)
