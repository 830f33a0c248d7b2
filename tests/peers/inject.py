#!/usr/bin/env python3
"""Throws packets at an engine while its connections run; runs in the server's namespace.

    inject.py DEVICE ENGINE_ADDRESS SEED

Listens on the device for the packets that really go to the engine and sends, through a raw socket: noise, segments
for ports and connections that do not exist, live segments repeated or with broken checksums, and segments of live
connections with good checksums but sequence numbers far outside the window, every flag and random options. (A good
checksum inside the window would be a successful attack on any TCP.) It reports how many it sent when it is told to.
"""

import random
import socket
import struct
import sys
import threading
import time

from common import commands, report

device, engine, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
target = socket.inet_aton(engine)
rng = random.Random(seed)
seen = []
counts = {}
# What is injected is known by it: a broken segment seen again and repeated would get a good checksum.
TTL = 63


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(payload, source, protocol=6):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, source, target)
    return header + payload


def with_checksum(segment, source):
    segment = segment[:16] + b"\0\0" + segment[18:]
    pseudo = source + target + struct.pack("!BBH", 0, 6, len(segment))
    return segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]


def listen():
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    tap.bind((device, 3))
    while True:
        packet = tap.recv(65536)
        if len(packet) >= 40 and packet[9] == 6 and packet[16:20] == target and packet[0] == 0x45 and packet[8] != TTL:
            end = struct.unpack_from("!H", packet, 2)[0]
            # Packets of a device with segmentation offload are larger than the link's.
            seen.append(packet[: min(end, 1500)])
            del seen[:-200]


def somebody():
    """Addresses that exist: answers to others would only fill the neighbour table of the whole machine."""
    return socket.inet_aton(f"192.168.{rng.randrange(56, 59)}.101")


def noise():
    protocol = rng.choice([6, 6, 6, 1, 17, rng.randrange(256)])
    return ip(rng.randbytes(rng.randrange(0, 200)), somebody(), protocol)


def stranger():
    source = somebody()
    options = rng.randbytes(rng.randrange(0, 11) * 4)
    offset = (5 + len(options) // 4) << 4
    port = rng.choice([7000, 7001, rng.randrange(1, 65536)])
    fields = struct.pack("!HHIIBBHHH", rng.randrange(1, 65536), port, rng.getrandbits(32), rng.getrandbits(32),
                         offset, rng.randrange(256), rng.getrandbits(16), 0, rng.getrandbits(16))
    return ip(with_checksum(fields + options + rng.randbytes(rng.randrange(0, 100)), source), source)


def repeated(packet):
    # The checksum of a packet to be sent may be left to the device.
    source = packet[12:16]
    return ip(with_checksum(packet[20:], source), source)


def broken(packet):
    """Some bits of the segment flipped, the checksum left as it was."""
    packet = bytearray(repeated(packet))
    for _ in range(rng.randrange(1, 5)):
        packet[rng.randrange(20, len(packet))] ^= 1 << rng.randrange(8)
    # Flips may cancel out in the sum.
    source, segment = bytes(packet[12:16]), bytes(packet[20:])
    good = with_checksum(segment, source)[16:18]
    return None if good == segment[16:18] else bytes(packet)


def cut(packet):
    return packet[: rng.randrange(20, len(packet))]


def outside(packet):
    """A live four-tuple, a good checksum, any flags and options, a sequence number far away."""
    source, ports = packet[12:16], packet[20:24]
    number = (struct.unpack_from("!I", packet, 24)[0] + rng.randrange(1 << 30, 3 << 30)) & 0xFFFFFFFF
    kinds = [rng.randbytes(rng.randrange(0, 11) * 4)]
    length = rng.choice([4, 8, 12, 16, 20, 24])
    kinds.append(struct.pack("BB", 30, length) + rng.randbytes(length - 2))
    options = rng.choice(kinds)
    fields = struct.pack("!IIBBHHH", number, rng.getrandbits(32), (5 + len(options) // 4) << 4, rng.randrange(256),
                         rng.getrandbits(16), 0, 0)
    return ip(with_checksum(ports + fields + options + rng.randbytes(rng.randrange(0, 60)), source), source)


def inject():
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    while True:
        time.sleep(0.0001)  # to disturb, not to starve
        live = rng.choice(seen) if seen else None
        kind = rng.choice([noise, stranger, repeated, broken, cut, outside])
        if kind in (noise, stranger):
            packet = kind()
        elif live:
            packet = kind(live)
        else:
            time.sleep(0.001)
            continue
        try:
            if packet:
                raw.sendto(packet[:8] + bytes([TTL]) + packet[9:], (engine, 0))
                counts[kind.__name__] = counts.get(kind.__name__, 0) + 1
        except OSError:
            pass  # too long for the link, or no header any more


threading.Thread(target=listen, daemon=True).start()
threading.Thread(target=inject, daemon=True).start()
report(ready=True)
for _ in commands():
    report(**counts)
