#!/usr/bin/env python3
"""A kernel MPTCP (or TCP) server for the interop suite.

    server.py PROTOCOL[+fastopen][@ADDRESS] MODE:PORT...

It listens on the address, by default 0.0.0.0; `::` takes both families. With `+fastopen` it takes data on SYNs.
Modes: `echo`; `sink` reads all and answers the SHA-256 in hexadecimal; `source` sends the bytes last asked for, ends
its data, then reads to the end; `store` reads all and only then sends it back; `reset` reads as many bytes as asked
for, then resets. Commands (JSON lines): {"size": N, "seed": S, "subflows": K} for `source`, which
waits for so many subflows, and `reset`. Every connection ends with
one line that says what happened.
"""

import socket
import sys
import threading

from common import CHUNK, commands, data, is_mptcp, read_all, report, reset, stream_socket, subflows, wait_for_subflows

asked = {"size": 0, "seed": 0, "subflows": 0}


def echo(sock, facts):
    read_all(sock, facts, sock.sendall)


def sink(sock, facts):
    read_all(sock, facts)
    sock.sendall(facts["received_sha256"].encode())


def source(sock, facts):
    block, facts["sent_sha256"] = data(asked["size"], asked["seed"])
    wait_for_subflows(sock, asked["subflows"])
    sock.sendall(block)
    facts["sent"] = len(block)
    sock.shutdown(socket.SHUT_WR)
    read_all(sock, facts)


def store(sock, facts):
    pieces = []
    read_all(sock, facts, lambda view: pieces.append(bytes(view)))
    for piece in pieces:
        sock.sendall(piece)
    facts["sent"] = facts["received"]


def reset_after(sock, facts):
    left = asked["size"]
    while left > 0:
        count = len(sock.recv(min(left, CHUNK)))
        if count == 0:
            break
        left -= count
    facts["received"] = asked["size"] - left
    reset(sock)


MODES = {"echo": echo, "sink": sink, "source": source, "store": store, "reset": reset_after}


def serve(sock, mode):
    facts = {"mode": mode, "received": 0, "sent": 0, "error": None}
    try:
        MODES[mode](sock, facts)
        if sock.fileno() >= 0:
            facts["subflows"] = subflows(sock)
            facts["mptcp"] = is_mptcp(sock)
    except OSError as error:
        facts["error"] = str(error)
    finally:
        sock.close()
    report(**facts)


def listen(protocol, address, mode, port):
    protocol, _, fast_open = protocol.partition("+")
    listener = stream_socket(protocol, address)
    if fast_open:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(512)

    def accept():
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock, mode), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


protocol, _, address = sys.argv[1].partition("@")
for argument in sys.argv[2:]:
    mode, port = argument.split(":")
    listen(protocol, address or "0.0.0.0", mode, int(port))
report(ready=True)
for command in commands():
    asked.update(command)
    if asked["size"] > 1 << 20:
        data(asked["size"], asked["seed"])  # before the clock runs
    report(ready=True)
