"""HTTP handlers for the tests' own servers on Linux."""

import http.server


class Pages(http.server.BaseHTTPRequestHandler):
    """Answers without logging; connections stay open. A test adds its paths."""

    protocol_version = "HTTP/1.1"

    def answer(self, status, body, **fields):
        """A response with a body of this length."""
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pieces(self):
        """A response in three chunks."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (b"one ", b"after ", b"another", b""):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def log_message(self, *_):
        pass
