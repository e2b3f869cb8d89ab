"""What the subcommands `app`, `batch` and `track` share."""

import argparse

from vidprior.errors import InputError


class Parser(argparse.ArgumentParser):
    """Tells errors in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Raises InputError, where argparse would print its usage and exit."""
        raise InputError(message)
