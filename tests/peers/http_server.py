#!/usr/bin/env python3
"""Python's HTTP server on a kernel MPTCP socket: GET /bytes/N answers N bytes and their hash in X-SHA256.

    http_server.py PORT
"""

import http.server
import sys
import threading

from common import commands, data, report, stream_socket


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        block, digest = data(int(self.path.rsplit("/", 1)[1]), 1)
        self.send_response(200)
        self.send_header("Content-Length", str(len(block)))
        self.send_header("X-SHA256", digest)
        self.end_headers()
        self.wfile.write(block)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler, bind_and_activate=False)
server.socket.close()
server.socket = stream_socket("mptcp")
server.server_bind()
server.server_activate()
threading.Thread(target=server.serve_forever, daemon=True).start()
report(ready=True)
for _ in commands():
    report(ready=True)
