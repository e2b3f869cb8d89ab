"""A command of the page in its process: `python -m vidprior.app.child WORDS...`.

It is the ordinary command, which the page stops as Ctrl-C does. Its stdin is a pipe from the
server: when that ends, however it ends, the command saves its state and ends too.
"""

import importlib
import os
import signal
import threading
import time

# Seconds in which a command whose server is gone must have saved its state.
PATIENCE = 60.0


def end_with_stdin(patience: float = PATIENCE) -> None:
    """Stops this process at the end of its stdin: as Ctrl-C at first, then at once."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(patience)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def run() -> None:
    """Runs the command of the arguments."""
    # A shell starts a server in the background with SIGINT ignored, and so its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_with_stdin()
    try:
        importlib.import_module("vidprior.main").run()  # by name, since it lies above
    except KeyboardInterrupt:  # while modules are loaded
        os._exit(130)


if __name__ == "__main__":
    run()
