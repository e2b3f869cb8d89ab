"""The exceptions that callers tell apart; every other one is a bug, and keeps its traceback."""


class InputError(ValueError):
    """A problem that the person at the keyboard can mend.

    The message is one line that names what is wrong and, where it is known,
    what to do. The command line prints it after `error:` and exits with 2.
    """


class NonFiniteLoss(ArithmeticError):
    """Training has diverged; the message names the update and the window."""


class Interrupted(Exception):
    """Ctrl-C, or a polite kill; the message says what is saved, and can be gone on from."""
