"""The world outside: an API that wants a token, git that wants a password, and others that take anything.

Arguments: certificate, its key, the token, the user:password of git, the directory of repositories.
"""

import base64
import hmac
import http.server
import os
import socketserver
import ssl
import subprocess
import sys
import threading

certificate, key, token, password, repositories = sys.argv[1:]
BEARER = "Bearer " + open(token).read().strip()
BASIC = "Basic " + base64.b64encode(open(password, "rb").read().strip()).decode()
API = "198.51.100.10"


class Https(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        pass

    def answer(self, status, headers, content):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def handle_any(self):
        left, parts = int(self.headers.get("Content-Length", 0)), []
        is_git = self.path.startswith("/git/")
        while left:
            part = self.rfile.read(min(left, 1 << 16))
            if not part:
                return
            left -= len(part)
            if is_git:
                parts.append(part)
        given = self.headers.get("Authorization", "")
        if is_git:
            if hmac.compare_digest(given, BASIC):
                self.git(b"".join(parts))
            else:
                self.answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        elif self.connection.getsockname()[0] == API and not hmac.compare_digest(given, BEARER):
            self.answer(401, {"WWW-Authenticate": "Bearer"}, b"")
        elif self.command == "GET":
            self.answer(200, {"Content-Type": "application/json"}, b"[" + b"1," * 8000 + b"1]\n")
        else:
            self.answer(200, {}, b"")

    do_GET = do_POST = do_PUT = handle_any

    def git(self, body):
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": repositories,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "deploy",
            "REMOTE_ADDR": self.client_address[0],
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path.removeprefix("/git"),
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = headers.pop("Status", "200 OK").split()[0]
        self.answer(int(status), headers, content)


class Anything(socketserver.StreamRequestHandler):
    timeout = 60

    def handle(self):
        while self.rfile.read1(1 << 16):
            pass


class Plain(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


https = http.server.ThreadingHTTPServer(("", 443), Https)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
# Each connection shakes hands in its own thread: one that does not would hold up all others.
https.socket = context.wrap_socket(https.socket, server_side=True, do_handshake_on_connect=False)
plain = Plain(("", 4444), Anything)
threading.Thread(target=plain.serve_forever, daemon=True).start()
https.serve_forever()
