#!/usr/bin/env python3
"""A kernel MPTCP (or TCP) client for the interop suite. Every command, a JSON line, is one connection:

    {"host": H, "port": P, "protocol": "mptcp"|"tcp", "mode": M, "size": N, "seed": S, "subflows": K}

Modes: `upload` sends, ends its data and reads the answer; `download` reads all; `echo` does both at once; `reset`
sends and resets. Data flows when K subflows are there. One line answers each command.

With "receive_buffer": B it has a buffer of that size, with "pause": S a download waits so many seconds before it reads.
With "parallel": true the next command is read meanwhile. With "gate": B an echo stops after B bytes until the command
{"go": true}. With "fast_open": B the first B bytes of an upload go by MSG_FASTOPEN.
"""

import socket
import threading
import time

from common import commands, data, is_mptcp, read_all, report, reset, stream_socket, subflows, wait_for_subflows


def run(command):
    facts = {"mode": command["mode"], "sent": 0, "received": 0, "error": None}
    sock = stream_socket(command["protocol"], command["host"])
    sock.settimeout(60)
    if command.get("receive_buffer"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, command["receive_buffer"])
    try:
        early = command.get("fast_open")
        if early is not None:
            block, _ = data(command["size"], command["seed"])
            to = (command["host"], command["port"])
            sock.settimeout(None)  # with a timeout Python's sockets do not block, and nothing goes with the SYN
            early = sock.sendto(block[:early], socket.MSG_FASTOPEN, to)
            sock.settimeout(60)
            facts["early"] = early
        else:
            sock.connect((command["host"], command["port"]))
        wait_for_subflows(sock, command["subflows"])
        talk(sock, command, facts)
        facts["subflows"] = subflows(sock) if sock.fileno() >= 0 else 0
        facts["mptcp"] = sock.fileno() >= 0 and is_mptcp(sock)
    except OSError as error:
        facts["error"] = str(error)
    finally:
        sock.close()
    return facts


def talk(sock, command, facts):
    mode = command["mode"]
    if mode == "download":
        time.sleep(command.get("pause", 0))
        read_all(sock, facts)
        return
    block, facts["sent_sha256"] = data(command["size"], command["seed"])
    facts["sent"] = len(block)
    if mode == "reset":
        sock.sendall(block)
        reset(sock)
        return
    if mode == "upload":
        sock.sendall(block[facts.get("early", 0) :])
        sock.shutdown(1)
        answer = []
        read_all(sock, {}, lambda view: answer.append(bytes(view)))
        facts["answer"] = b"".join(answer).decode("latin-1")
        return

    gate = command.get("gate")

    def send():
        sock.sendall(block[:gate])
        if gate is not None:
            go.wait()
            sock.sendall(block[gate:])
        sock.shutdown(1)

    sender = threading.Thread(target=send)
    sender.start()
    read_all(sock, facts)
    sender.join()


go = threading.Event()


def one(command):
    report(**run(command))


report(ready=True)
for command in commands():
    if "go" in command:
        go.set()
    elif command.get("parallel"):
        threading.Thread(target=one, args=(command,), daemon=True).start()
    else:
        one(command)
