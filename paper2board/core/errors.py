"""The exception that a user is meant to read, and the one of them that a run survives."""


class UserError(Exception):
    """Bad input or an impossible request, stated in one sentence that names file, key and remedy.

    Scripts and the command line print the message alone (no traceback) and exit with status 1;
    any other exception is a defect of ours and keeps its traceback.
    """


class DoesNotFitError(UserError):
    """A network is too large for a board's memory, which is a result."""
