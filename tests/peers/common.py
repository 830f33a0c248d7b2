"""What the kernel's side of the interop suite shares: MPTCP sockets, data, hashes, reports."""

import ctypes
import hashlib
import json
import random
import socket
import struct
import sys
import threading
import time

IPPROTO_MPTCP = 262
SOL_MPTCP = 284
MPTCP_INFO = 1
MPTCP_INFO_FLAG_FALLBACK = 1
MPTCP_TCPINFO = 2
TCP_ESTABLISHED = 1
CHUNK = 256 * 1024

libc = ctypes.CDLL(None)

_lock = threading.Lock()
_data = {}


def report(**fields):
    """One line of JSON to the test."""
    with _lock:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()


def commands():
    """The test's commands; they end when the test does."""
    for line in sys.stdin:
        yield json.loads(line)


def data(size, seed):
    """The `size` bytes of this seed, and their hash. Only the last ones are kept."""
    with _lock:
        if (size, seed) not in _data:
            _data.clear()
            block = random.Random(seed).randbytes(size)
            _data[size, seed] = (block, hashlib.sha256(block).hexdigest())
        return _data[size, seed]


def stream_socket(protocol, address="0.0.0.0"):
    """A socket of the family of this address. One of IPv6 takes IPv4, too."""
    number = IPPROTO_MPTCP if protocol == "mptcp" else socket.IPPROTO_TCP
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, number)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return sock


def subflows(sock):
    """Subflows in state ESTABLISHED now; 0 for plain TCP. The count in MPTCP_INFO has those under way, too."""
    block = struct.pack("IIII", 16, 0, 0, 1) + bytes(16)  # struct mptcp_subflow_data, then tcpi_state of each
    buffer = ctypes.create_string_buffer(block, len(block))
    length = ctypes.c_uint32(len(block))
    if libc.getsockopt(sock.fileno(), SOL_MPTCP, MPTCP_TCPINFO, buffer, ctypes.byref(length)) != 0:
        return 0
    number = struct.unpack_from("I", buffer, 4)[0]
    return sum(state == TCP_ESTABLISHED for state in buffer.raw[16 : 16 + min(number, 16)])


def is_mptcp(sock):
    """False for plain TCP, from the start or after a fallback."""
    buffer = ctypes.create_string_buffer(16)  # the start of struct mptcp_info
    length = ctypes.c_uint32(len(buffer))
    if libc.getsockopt(sock.fileno(), SOL_MPTCP, MPTCP_INFO, buffer, ctypes.byref(length)) != 0:
        return False
    return struct.unpack_from("I", buffer, 8)[0] & MPTCP_INFO_FLAG_FALLBACK == 0


def wait_for_subflows(sock, wanted):
    end = time.monotonic() + 5
    while subflows(sock) < wanted and time.monotonic() < end:
        time.sleep(0.002)


def read_all(sock, facts, each=None):
    """Reads to the end or to an error; `received` and `received_sha256` say what came."""
    digest, buffer = hashlib.sha256(), bytearray(CHUNK)
    view = memoryview(buffer)
    facts["received"] = 0
    try:
        while (count := sock.recv_into(buffer)) > 0:
            facts["received"] += count
            digest.update(view[:count])
            if each:
                each(view[:count])
    finally:
        facts["received_sha256"] = digest.hexdigest()


def reset(sock):
    """Closes with a reset: MP_FASTCLOSE for MPTCP."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
