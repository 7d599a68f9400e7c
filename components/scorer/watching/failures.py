"""Failures of the scorer itself, for the log and the metrics."""

from components.scorer.watching.log import log_event
from components.scorer.watching.metrics import count_error


def report_failure(error: Exception) -> None:
    """Log the file and line where an error was raised, and count it; its values may be personal, so they stay out."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else ""
    log_event("error", type=type(error).__name__, place=where)
    count_error(type(error).__name__)
