"""A plain TCP client: says hello, and prints what comes back.

sudo mpuser run python3 hello.py 192.168.56.101 7000
"""

import socket
import sys

address, port = sys.argv[1:]
with socket.create_connection((address, int(port))) as connection:
    connection.sendall(b"hello from Python\n")
    connection.shutdown(socket.SHUT_WR)
    while piece := connection.recv(1024):
        sys.stdout.write(piece.decode())
