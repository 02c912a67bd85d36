"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Keeps the interpreter's lock: after clone3 there is no other thread that could give it back.
LIBC = ctypes.PyDLL(None, use_errno=True)
CLONE_FILES = 0x00000400
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
NR_IOCTL, NR_CLONE, NR_EXIT, NR_CLONE3 = 16, 56, 60, 435
TUNSETIFF = 0x400454CA
AF_UNSPEC = 0
TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_NO_COOKIE = 30, 34

X86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86-64 has these system calls")


def checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def system_call(number: int, *arguments: int) -> int:
    return checked(LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments)))


def compat_system_call(number: int, *arguments: int) -> int:
    """By the 32-bit entry, `int 0x80`, which any 64-bit process may use."""
    code = bytes.fromhex("53 89f8 89f3 4189c8 89d1 4489c2 cd80 5b c3")
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(code)
        held = ctypes.c_char.from_buffer(page)
        function = ctypes.PYFUNCTYPE(ctypes.c_int, *[ctypes.c_int] * 4)(ctypes.addressof(held))
        result = function(number, *arguments, *[0] * (3 - len(arguments)))
        del held
    return result


def end_this_thread() -> None:
    """And no other; the interpreter's lock is left to these."""
    ctypes.CDLL(None).syscall(ctypes.c_long(NR_EXIT), ctypes.c_long(0))


def unshare(flags: int) -> None:
    checked(LIBC.unshare(flags))


def enter_network(path: Path) -> None:
    """Moves the caller to a network namespace."""
    namespace = os.open(path, os.O_RDONLY)
    checked(LIBC.setns(namespace, CLONE_NEWNET))
    os.close(namespace)


def make_mounts_private() -> None:
    """What is mounted from now on, only this namespace sees."""
    checked(LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))


def bind_mount(source: Path, target: Path) -> None:
    checked(LIBC.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND, None))


def raise_loopback() -> None:
    """`ip link set lo up`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh", b"lo", 1 | 0x40)
        fcntl.ioctl(any_socket, 0x8914, request.ljust(40, b"\0"))


def send_to_no_family(datagrams: socket.socket, data: bytes, address: str, port: int) -> None:
    """`sendto` an IPv4 address whose family says AF_UNSPEC."""
    told = struct.pack("=H", AF_UNSPEC) + struct.pack("!H", port) + socket.inet_aton(address) + bytes(8)
    checked(LIBC.sendto(datagrams.fileno(), data, len(data), 0, told, len(told)))


def connect_to_nothing(connected: socket.socket) -> None:
    """`connect` with AF_UNSPEC ends the association of a socket, which can then be connected anew."""
    checked(LIBC.connect(connected.fileno(), bytes(16), 16))


def clone(flags: int) -> None:
    """Makes a child that ends at once."""
    if system_call(NR_CLONE, flags | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


def clone_into_cgroup(cgroup: Path, act: Callable[[], Any]) -> int:
    """Makes a child that begins its life in a cgroup; returns its id."""
    folder = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    clone_arguments = struct.pack("11Q", CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, folder)
    arguments = ctypes.create_string_buffer(clone_arguments, 88)
    child = system_call(NR_CLONE3, ctypes.addressof(arguments), 88)
    if child == 0:
        try:
            act()
        finally:
            os._exit(0)
    os.close(folder)
    return child
