"""A program in place of `opa` that records what a server asks: `opa_recorder.py OPA FOLDER <arguments of opa>`.

It runs OPA on another socket, and forwards requests and answers. FOLDER receives the bundle as ``bundle.tar.gz``, and
of the last query that contains MARK the path as ``path`` and the body as ``body``. Uses only the standard library,
because the server starts it with an empty environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Final

MARK: Final = b"run_2026_04_24_183301"
"""In the body of the query that is recorded: the run of the benchmark's request."""
POLL_SECONDS: Final = 0.01
SOCKET: Final = "unix://"


async def main(opa: str, folder: Path, arguments: list[str]) -> int:
    """Run OPA behind the recorder until either is stopped. Returns OPA's exit status."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)  # the group's signal also stops OPA
    bundle = arguments[arguments.index("--bundle") + 1]
    shutil.copyfile(bundle, folder / "bundle.tar.gz")
    at = next(number for number, argument in enumerate(arguments) if argument.startswith(SOCKET))
    outside, inside = arguments[at].removeprefix(SOCKET), str(folder / "opa.sock")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(inside)  # noqa: PTH108 - the socket of the OPA before a restart
    inner = [*arguments[:at], SOCKET + inside, *arguments[at + 1 :]]
    descriptors = [int(number) for number in re.findall(r"^/proc/self/fd/(\d+)$", bundle)]
    child = await asyncio.create_subprocess_exec(opa, *inner, pass_fds=descriptors)
    await _listening(inside, child)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await _forward(reader, writer, inside, folder)
        writer.close()

    async with await asyncio.start_unix_server(forward, outside):
        return await child.wait()


async def _listening(socket: str, child: asyncio.subprocess.Process) -> None:
    """Wait until the child accepts connections, or has ended."""
    while child.returncode is None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_unix_connection(socket)
            writer.close()
            return
        await asyncio.sleep(POLL_SECONDS)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inside: str, folder: Path) -> None:
    """Forward one connection. Raises IncompleteReadError when it is closed."""
    inner_reader, inner_writer = await asyncio.open_unix_connection(inside)
    try:
        while True:
            head, body = await _message(reader)
            if MARK in body:
                (folder / "body").write_bytes(body)
                (folder / "path").write_bytes(head.split(b" ", 2)[1])
            inner_writer.write(head + body)
            writer.write(b"".join(await _message(inner_reader)))
    finally:
        inner_writer.close()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one HTTP message: its head, and its body of a known length or in chunks."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
    if length:
        return head, await reader.readexactly(int(length[1]))
    body = b""
    if re.search(rb"(?i)^transfer-encoding: *chunked", head, re.MULTILINE):
        while not body.endswith(b"0\r\n\r\n"):
            size = await reader.readuntil(b"\r\n")
            body += size + await reader.readexactly(int(size, 16) + 2)
    return head, body


if __name__ == "__main__":
    program, place, *rest = sys.argv[1:]
    if rest[:1] != ["run"]:
        os.execv(program, [program, *rest])  # noqa: S606 - OPA's other commands
    sys.exit(asyncio.run(main(program, Path(place), rest)))
