"""The one exception that means "the input is at fault, not the program"."""


class InputError(ValueError):
    """A problem that the person at the keyboard can mend.

    The message is one line that names what is wrong and, where it is known,
    what to do. The command line prints it after `error:` and exits with 2;
    every other exception is a bug and keeps its traceback.
    """
