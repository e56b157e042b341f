"""One worker process, as the supervisor sees it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from placet.telemetry.metrics_folder import FOLDER_VARIABLE
from placet.workers.messages import Accepts, AwaitsPolicy, Channel, Done, Ping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.workers.messages import Begin

MODULE: Final = "placet.workers.main"
"""The module that a worker process runs."""


class WorkerProcess:
    """A running worker. Start it from the main thread: the kernel kills it when the thread that started it ends."""

    def __init__(self, number: int, child: subprocess.Popen[bytes], channel: Channel) -> None:
        self.number = number
        self.channel = channel
        self.ended = asyncio.Event()
        self.awaits_policy = asyncio.Event()
        self.accepts = asyncio.Event()
        self._child = child
        self._pidfd = os.pidfd_open(child.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)

    @classmethod
    async def start(cls, number: int, begin: Begin, descriptors: Sequence[int]) -> WorkerProcess:
        """Start a worker, which inherits the descriptors. Raises OSError when the process cannot be started."""
        own, theirs = socket.socketpair()
        with theirs:
            child = _spawn(theirs.fileno(), descriptors, _environment(begin))
        worker = cls(number, child, await Channel.over(own))
        worker.channel.send(begin)
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None while it runs."""
        return self._child.returncode

    async def read(self, handle: Callable[[object], None]) -> None:
        """Read messages until the worker ends. `handle` receives those that are not answers or stages of the start."""
        while True:
            try:
                message = await self.channel.receive()
            except EOFError:
                return
            match message:
                case Done():
                    self.channel.answered(message)
                case AwaitsPolicy():
                    self.awaits_policy.set()
                case Accepts():
                    self.accepts.set()
                case _:
                    handle(message)

    async def ask(self, message: object, number: int, seconds: float) -> str:
        """Send a message and wait for its answer. Returns what went wrong, "" when nothing did."""
        self.channel.send(message)
        try:
            async with asyncio.timeout(seconds):
                return await self.channel.answer(number)
        except TimeoutError:
            return f"no answer within {seconds:g} s"
        except EOFError:
            return "it ended"

    async def ping(self, seconds: float) -> bool:
        """Return whether the event loop of the worker answers in time."""
        number = self.channel.number()
        return not await self.ask(Ping(number), number, seconds)

    async def ended_within(self, seconds: float) -> bool:
        """Return whether the process ends within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            return False
        return True

    def kill(self) -> None:
        """Kill the process immediately, also when it is suspended."""
        if not self.ended.is_set():
            self._child.send_signal(signal.SIGKILL)

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._child.wait()
        self.channel.close()
        self.ended.set()


def _spawn(channel: int, descriptors: Sequence[int], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # -P: the working directory is no place to import from.
    command = [sys.executable, "-P", "-m", MODULE, str(channel), str(os.getpid())]
    return subprocess.Popen(  # noqa: S603 - this interpreter, and arguments of ours
        command,
        stdin=subprocess.DEVNULL,
        env=environment,
        process_group=0,  # signals of the terminal go to the supervisor only
        pass_fds=(channel, *descriptors),
    )


def _environment(begin: Begin) -> dict[str, str]:
    """Return the environment of a worker: that of the supervisor, and where its metrics go."""
    environment = {name: value for name, value in os.environ.items() if name != FOLDER_VARIABLE}
    if begin.metrics_dir is not None:
        environment[FOLDER_VARIABLE] = str(begin.metrics_dir)
    return environment
