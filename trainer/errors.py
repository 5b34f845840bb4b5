"""The one kind of error that is told to a person, in a line and without a traceback."""

from collections.abc import Callable

Warn = Callable[[str], None]  # takes a line that tells a person what is missing or failed while the work goes on


class UserError(Exception):
    """Something that whoever started the run can mend: a setting, a file, a full disk. The message says what."""


def in_a_line(error: Exception) -> str:
    """What ``error`` says, without the line breaks of libraries whose words it repeats."""
    return " ".join(line.strip() for line in str(error).splitlines())
