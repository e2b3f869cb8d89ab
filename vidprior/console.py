"""Shows the log of the package on a terminal."""

import contextlib
import logging
import sys
from collections.abc import Iterator

from tqdm import tqdm


class _Handler(logging.Handler):
    """Writes lines to stderr without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        tqdm.write(prefix + record.getMessage(), file=sys.stderr)
        sys.stderr.flush()


@contextlib.contextmanager
def shows_log() -> Iterator[None]:
    """A context in which the logger `vidprior` writes to stderr."""
    log, handler = logging.getLogger("vidprior"), _Handler()
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate
