"""The one kind of error that is told to a person in a line, without a traceback."""


class UserError(Exception):
    """Something that whoever started the run can mend: a setting, a file, a full disk. The message says what."""
