"""Exceptions with a meaning for callers; any other exception is a bug and keeps its traceback."""


class InputError(ValueError):
    """Invalid input, which the user can fix.

    The message is one line: what is wrong and, if known, what to do. The command line prints
    it after `error:` and exits with 2.
    """


class NonFiniteLoss(ArithmeticError):
    """Training diverged; the message names the update and the window."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM; the message says what was saved."""
