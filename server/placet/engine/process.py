"""OPA as a child process: on a private socket, with an empty environment, in its own process group.

The kernel kills it when the server dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from placet.engine.http import Address
from placet.kernel.disk_errors import remedy_for
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

THREADS_MIN: Final = 2
"""Least number of threads of OPA that run at once: one evaluates a batch, the garbage collector uses another."""
MEMORY_MIB_MIN: Final = 512
"""Soft limit of OPA's heap: a leak must not exhaust the host."""
MEMORY_FACTOR: Final = 16
"""Soft limit of a heap with a large bundle, as a multiple of its files. OPA holds 10 times their size, and collects
garbage without pause under a lower limit. 10,000 tenants are 85 MB of files."""
GOGC_PERCENT: Final = 400
"""Growth of the heap between collections. Costs 210 us of CPU a decision and 67 MiB; 100 costs 280 us and 48 MiB."""
STOP_SECONDS_MAX: Final = 2.0
REAP_SECONDS_MAX: Final = 0.5
"""Time for a killed process to end. The event loop waits for it, so that no zombie is left."""
PROBE_SECONDS_MAX: Final = 0.2
START_SECONDS_MAX: Final = 10.0
"""Time limit from the creation of a folder to the socket in it."""
FOLDER: Final = "placet-opa-"
"""Prefix of the folders that hold sockets; the server's process id follows."""
LOG_TAIL_BYTES: Final = 2_000
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL

# The child asks the kernel for SIGKILL at the end of its parent's thread, also after kill -9, then becomes OPA. A
# preexec_fn would instead run Python between fork and exec of a process with many threads.
_LAUNCH: Final = """
import ctypes, os, signal, sys
if ctypes.CDLL(None).prctl(1, signal.SIGKILL) != 0 or os.getppid() != int(sys.argv[1]):
    sys.exit("placet: the parent is gone or prctl(PR_SET_PDEATHSIG) failed")
os.execve(sys.argv[2], sys.argv[2:], {name: os.environ[name] for name in ("GOMAXPROCS", "GOMEMLIMIT", "GOGC")})
"""


class OpaProcess:
    """One running OPA. Start it from the main thread: the kernel kills it when the thread that started it ends."""

    def __init__(self, child: subprocess.Popen[bytes], pidfd: int, folder: Path, log: Path, log_from: int) -> None:
        self._child = child
        self._folder = folder
        self._log = log
        self._log_from = log_from  # earlier output is from other processes
        self._ended = asyncio.Event()
        self._pidfd = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._on_end)

    @classmethod
    def start(cls, opa: Path, bundle: bytes, log: Path, cores: int = THREADS_MIN) -> OpaProcess:
        """Start OPA on a new private socket with exactly these bytes as its bundle: no file can be changed later.

        It uses up to `cores` cores, for the batches of several workers and for slow calls beside them.

        Raises ConfigurationError when OPA cannot be started; nothing is left behind then.
        """
        try:
            folder = _private_folder()
        except OSError as error:
            raise ConfigurationError(
                f"cannot make a folder for OPA's socket: {error}; check that it is writable"
            ) from error
        arguments = [
            "run", "--server", "--addr", f"unix://{folder}/opa.sock", "--unix-socket-perm", "600",
            "--log-level", "error", "--skip-version-check", "--set", "labels.app=placet",
        ]  # fmt: skip
        try:
            with log.open("ab") as output, _sealed(bundle) as descriptor:
                log_from = output.tell()
                command = [str(opa), *arguments, "--bundle", f"/proc/self/fd/{descriptor}"]
                child, pidfd = _spawn(command, output, descriptor, _runtime(bundle, cores))
        except OSError as error:
            folder.rmdir()
            remedy = remedy_for(error, f"check that {log} is writable, or run `placet tools install`")
            raise ConfigurationError(f"cannot start OPA: {error}; {remedy}") from error
        return cls(child, pidfd, folder, log, log_from)

    @property
    def address(self) -> Address:
        """The address of its socket."""
        return Address(socket=f"{self._folder}/opa.sock")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return not self._ended.is_set()

    async def wait(self) -> str:
        """Wait for the end. Returns the exit status and the tail of the log."""
        await self._ended.wait()
        return f"exit status {self._child.returncode}; last output: {self._log_tail() or 'none'}"

    async def ended_within(self, seconds: float) -> bool:
        """Return whether the process ends within so many seconds."""
        try:
            async with asyncio.timeout(seconds):  # wait_for of Python 3.11 loses a cancel that coincides with the end
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Stop it with SIGTERM, then SIGKILL, and remove its socket."""
        await self._end_with(signal.SIGTERM, signal.SIGKILL)

    async def kill(self) -> None:
        """Kill it immediately, also when it is suspended by SIGSTOP, and remove its socket."""
        await self._end_with(signal.SIGKILL)

    async def _end_with(self, *signals: signal.Signals) -> None:
        try:
            for number in signals:
                if self.running:
                    self._send(number)
                    await self.ended_within(STOP_SECONDS_MAX)
        finally:
            if self.running:  # cancelled: the caller has no time left, but a killed process ends at once
                self._send(signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(REAP_SECONDS_MAX)
            (self._folder / "opa.sock").unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)

    def _log_tail(self) -> str:
        try:
            with self._log.open("rb") as log:
                log.seek(max(self._log_from, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
                return log.read().decode(errors="replace").strip()
        except OSError as error:  # the restart of OPA does not depend on the log
            return f"unknown, {error}"

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._child.wait()
        self._ended.set()


def _private_folder() -> Path:
    """Create a folder of mode 0700 with a short path, as sockets need it. Removes folders of killed servers."""
    for left in Path(tempfile.gettempdir()).glob(f"{FOLDER}[0-9]*-*"):
        with contextlib.suppress(FileNotFoundError):  # another server removed it first
            if _abandoned(left):
                shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))


def _abandoned(folder: Path) -> bool:
    """Whether the folder is ours, its server is not running, and no OPA listens in it.

    The last check matters in containers, which hide the processes of other containers.
    """
    owner, made = folder.name.removeprefix(FOLDER).partition("-")[0], folder.stat()
    if made.st_uid != os.getuid() or not owner.isdecimal() or Path(f"/proc/{owner}").exists():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_SECONDS_MAX)
        try:
            probe.connect(os.fspath(folder / "opa.sock"))
        except FileNotFoundError:
            return time.time() - made.st_mtime > START_SECONDS_MAX
        except OSError:  # refused: the socket file exists, its listener is gone
            return True
    return False


def _runtime(bundle: bytes, cores: int) -> Mapping[str, str]:
    return {
        "GOMAXPROCS": str(max(THREADS_MIN, cores)),
        "GOMEMLIMIT": memory_limit(bundle),
        "GOGC": str(GOGC_PERCENT),
    }


@contextlib.contextmanager
def _sealed(content: bytes) -> Iterator[int]:
    """Return the descriptor of a sealed file in memory. No process can change it, this one included."""
    descriptor = os.memfd_create("placet-bundle", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        yield descriptor
    finally:
        os.close(descriptor)


def memory_limit(bundle: bytes) -> str:
    """Return the GOMEMLIMIT for a bundle, such as ``512MiB``, by the size that gzip notes at its end."""
    unpacked = int.from_bytes(bundle[-4:], "little")
    return f"{max(MEMORY_MIB_MIN, MEMORY_FACTOR * unpacked // 2**20)}MiB"


def _spawn(
    command: list[str], log: IO[bytes], bundle: int, go: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the child, which inherits the descriptor `bundle`. `go` are the settings of its runtime.

    Returns the child, and a descriptor that becomes readable when the child ends. Raises OSError, and then there is no
    child.
    """
    launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *command]
    child = subprocess.Popen(  # noqa: S603 - the program is the pinned OPA, the arguments are ours
        launch,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=go,
        process_group=0,
        pass_fds=(bundle,),
    )
    try:
        return child, os.pidfd_open(child.pid)
    except OSError:  # no descriptors left
        child.kill()
        child.wait()
        raise
