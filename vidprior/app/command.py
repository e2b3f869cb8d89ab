"""The command `vidprior app`: opens the page in a browser on this machine."""

import argparse
import importlib.util
import os
import pathlib
import secrets
from collections.abc import Sequence

from vidprior.errors import InputError
from vidprior.subcommand import Parser

LOOPBACK = ("127.0.0.1", "localhost")


def parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    made = Parser(
        prog="vidprior app",
        description="A page to paint, track, run and compare; see docs/use/app.md.",
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--output", type=pathlib.Path, default=pathlib.Path("out/app"), help="folder of all clips")
    add("--footage", type=pathlib.Path, default=pathlib.Path("."), help="paths may lie in here")
    add("--host", default="127.0.0.1", help="any address but loopback asks for a token")
    add("--port", type=int, default=7860, help="0 to 65535; 0: any that is free")
    add("--no-browser", action="store_true", help="only print the address")
    return made


def main(arguments: Sequence[str]) -> int:
    """Serves the page until Ctrl-C.

    Args:
      arguments: the words after `app`.

    Raises:
      InputError: a flag is invalid, Gradio is missing, or the port is in use.
    """
    flags = parser().parse_args(list(arguments))
    if not 0 <= flags.port <= 65535:
        raise InputError(f"--port={flags.port}: give a number from 0 to 65535")
    if not flags.footage.is_dir():
        raise InputError(f"--footage={flags.footage} is no folder")
    if importlib.util.find_spec("gradio") is None:
        raise InputError("the page needs Gradio: python -m pip install 'vidprior[app]'")
    output = pathlib.Path(os.path.abspath(flags.output))
    # Read by Gradio as it is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(output / ".uploads")
    from vidprior.app import serve

    serve.serve(
        output,
        footage=flags.footage.resolve(),
        host=flags.host,
        port=flags.port,
        token=None if flags.host in LOOPBACK else secrets.token_urlsafe(16),
        browser=not flags.no_browser,
    )
    return 0
