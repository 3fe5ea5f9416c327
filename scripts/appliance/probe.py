"""Tries, inside the service's sandbox, what it must not be able to do. Prints one line each.

Run in a copy of the unit whose ExecStart is this; a line that begins with `POSSIBLE` is a hole.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

OUTSIDE = ("192.0.2.1", 80)  # an address for documentation: nobody is there
CACHE = Path(os.environ.get("CACHE_DIRECTORY", "/var/cache/distiller-llm"))
WRITABLE = (str(CACHE), "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108


def connect() -> None:
    socket.create_connection(OUTSIDE, timeout=2).close()


def listen() -> None:
    with socket.socket(socket.AF_INET) as listener:
        listener.bind(("127.0.0.1", 0))


def send_packet() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"?", OUTSIDE)


def write_in(folder: str) -> Callable[[], None]:
    def write() -> None:
        (Path(folder) / "distiller-llm-probe").write_text("x")

    return write


def writable_and_executable_memory() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def memory_made_executable() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    memory = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if libc.mprotect(ctypes.c_void_p(address), 4096, 5):
        raise OSError(ctypes.get_errno(), "mprotect")


def run_shell() -> None:
    subprocess.run(["/bin/sh", "-c", "true"], check=True)


def run_file_in(folder: str) -> Callable[[], None]:
    def run() -> None:
        program = Path(folder) / "distiller-llm-probe"
        try:
            program.write_bytes(Path("/usr/bin/true").read_bytes())
            program.chmod(0o700)
            subprocess.run([str(program)], check=True)
        finally:
            program.unlink(missing_ok=True)

    return run


def load_library_in(folder: str) -> Callable[[], None]:
    def load() -> None:
        library = Path(folder) / "libprobe.so"
        try:
            library.write_bytes(next(Path("/usr/lib").glob("*/libz.so.1")).read_bytes())
            ctypes.CDLL(str(library))
        finally:
            with contextlib.suppress(OSError):
                library.unlink(missing_ok=True)

    return load


def new_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")


def see_home() -> None:
    os.listdir("/root")  # noqa: PTH208


def see_init() -> None:
    Path("/proc/1/cmdline").read_bytes()


def callback_works() -> None:
    """ctypes callbacks need executable memory that was never writable under one address."""
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    numbers = (ctypes.c_int * 3)(3, 1, 2)
    order = kind(
        lambda a, b: ctypes.c_int.from_address(a).value - ctypes.c_int.from_address(b).value
    )
    ctypes.CDLL(None).qsort(numbers, 3, ctypes.sizeof(ctypes.c_int), order)
    if list(numbers) != [1, 2, 3]:
        raise AssertionError(list(numbers))


FORBIDDEN: dict[str, Callable[[], None]] = {
    "connect to another machine": connect,
    "open a port": listen,
    "send a packet": send_packet,
    "write in /usr/lib/distiller-llm": write_in("/usr/lib/distiller-llm"),
    "write in /etc/distiller-llm": write_in("/etc/distiller-llm"),
    "write in the models folder": write_in("/var/lib/distiller-llm/models"),
    "map memory writable and executable": writable_and_executable_memory,
    "make memory executable": memory_made_executable,
    "run a shell": run_shell,
    **{f"run a file in {folder}": run_file_in(folder) for folder in WRITABLE},
    **{f"load a library in {folder}": load_library_in(folder) for folder in WRITABLE},
    "make a namespace": new_namespace,
    "look into /root": see_home,
    "see the processes of others": see_init,
}
NEEDED: dict[str, Callable[[], object]] = {
    "write in its cache": write_in(str(CACHE)),
    "be called back by C": callback_works,
    "read the memory of the device": lambda: Path("/proc/meminfo").read_text(),
    "pin threads": lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
    "be nicer": lambda: os.nice(1),
}


def main() -> None:
    for name, attempt in FORBIDDEN.items():
        try:
            attempt()
            print(f"POSSIBLE: {name}")
        except (OSError, subprocess.SubprocessError) as error:
            print(f"impossible: {name} ({error})")
    for name, need in NEEDED.items():
        try:
            need()
            print(f"works: {name}")
        except Exception as error:
            print(f"BROKEN: {name} ({error})")
    (CACHE / "distiller-llm-probe").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
