"""The server of the page: who may reach it, and what the page may reach."""

import contextlib
import pathlib
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import gradio
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from vidprior.app import style, wiring
from vidprior.app.jobs import Jobs
from vidprior.errors import InputError

# Larger uploads are refused: such a clip is opened by its path.
MAX_UPLOAD = 4 * 2**30

# What a browser may load: this server alone.
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; form-action 'self'; "
    "base-uri 'self'"
)

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class OnlyHere:
    """Adds headers with which a browser asks no other server, and no other site frames the page."""

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        """Serves one request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {b"content-security-policy": POLICY, b"referrer-policy": "no-referrer"}
                added = [(name, value.encode()) for name, value in own.items()]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        # A tab that is closed while its picture is uploaded has nobody to be told of it.
        with contextlib.suppress(ClientDisconnect):
            await self._app(scope, receive, with_headers)


def _free_port(host: str) -> int:
    """A port that is free now; Gradio cannot be asked for any."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        tried.bind((host, 0))
        return int(tried.getsockname()[1])


def serve(
    output: pathlib.Path,
    *,
    footage: pathlib.Path,
    host: str,
    port: int,
    token: str | None,
    browser: bool,
) -> None:
    """Serves the page until Ctrl-C.

    Args:
      output: folder of all clips; created if missing.
      footage: folder in which paths may lie.
      host: address to listen on.
      port: 0 for any that is free.
      token: password of the user `vidprior`; None on loopback.
      browser: whether to open one.

    Raises:
      InputError: the address is in use, or the folder cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output={output}: cannot be created ({error.strerror})") from error
    jobs = Jobs()
    page = wiring.build(output, footage=footage, jobs=jobs)
    hosts = ["*"] if host in ("0.0.0.0", "::") else ["127.0.0.1", "localhost", host]
    guards = [Middleware(OnlyHere), Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]
    try:
        _, address, _ = page.queue().launch(
            server_name=host,
            server_port=port or _free_port(host),
            auth=None if token is None else ("vidprior", token),
            inbrowser=browser,
            quiet=True,
            share=False,
            prevent_thread_lock=True,
            max_file_size=MAX_UPLOAD,
            # Results alone: no other file of this machine is served.
            allowed_paths=[str(output)],
            app_kwargs={"middleware": guards},
            footer_links=[],
            ssr_mode=False,
            theme=style.theme(),
            css=style.CSS,
            head=style.HEAD,
        )
    except OSError as error:
        raise InputError(
            f"--host={host} --port={port}: cannot listen there; choose another --port"
        ) from error
    try:
        print(f"page: {address}", flush=True)
        if token is not None:
            print(f"user vidprior, token {token}", flush=True)
        print("Ctrl-C ends it; runs are saved, and resume when they are started again", flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        page.block_thread()
    except KeyboardInterrupt:
        print("stopping", file=sys.stderr)
    finally:
        jobs.close()
        gradio.close_all(verbose=False)
