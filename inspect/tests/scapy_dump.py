"""What scapy reads in captures, one line of JSON for each TCP segment: fields of the headers, the octets of every
option, length and CRC of the payload. Called by scapy.rs."""

import json
import logging
import struct
import sys
import zlib

logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.config import conf  # noqa: E402
from scapy.layers.inet import TCP, IP, TCPOptions  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Dot1Q, Ether, Loopback  # noqa: E402,F401
from scapy.layers.ppp import PPPoE  # noqa: E402,F401
from scapy.packet import Padding  # noqa: E402
from scapy.utils import PcapReader  # noqa: E402

KINDS = {name: kind for name, kind in TCPOptions[1].items()}
FORMATS = {kind: form for kind, (_, form) in TCPOptions[0].items()}


def octets(kind, value):
    """The octets of an option after kind and length, back from what scapy made of them."""
    if isinstance(value, bytes):
        return value
    if value is None or value == "":
        return b""
    if kind == 5:
        return struct.pack("!%dI" % len(value), *value)
    return struct.pack(FORMATS[kind], *(value if isinstance(value, tuple) else (value,)))


def options(segment):
    found = []
    for name, value in segment.options:
        kind = name if isinstance(name, int) else KINDS[name]
        found.append([kind, octets(kind, value).hex()])
    return found


def segment(packet):
    """IP and TCP of a frame, not those an ICMP message quotes."""
    layer, ip = packet, None
    while layer:
        if isinstance(layer, (IP, IPv6)):
            ip = layer
        if type(layer) is TCP:
            return ip, layer
        if type(layer).__name__.startswith("ICMP"):
            return None
        layer = layer.payload
    return None


def dump(file):
    for number, packet in enumerate(PcapReader(file), 1):
        found = segment(packet)
        if not found:
            continue
        ip, tcp = found
        rest = tcp.payload
        data = b"" if isinstance(rest, Padding) else bytes(rest)
        padding = rest.getlayer(Padding) if rest else None
        if padding and not isinstance(rest, Padding):
            data = data[: len(data) - len(padding.load)]
        said = {
            "number": number,
            "src": ip.src,
            "dst": ip.dst,
            "sport": tcp.sport,
            "dport": tcp.dport,
            "seq": tcp.seq,
            "ack": tcp.ack,
            "flags": int(tcp.flags),
            "window": tcp.window,
            "urgent": tcp.urgptr,
            "options": options(tcp),
            "payload": [len(data), zlib.crc32(data)],
        }
        print(json.dumps(said))


for file in sys.argv[1:]:
    print(json.dumps({"file": file}))
    dump(file)
