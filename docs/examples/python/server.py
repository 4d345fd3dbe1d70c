"""A website whose server requests the link for each visitor. Python's standard library only."""

import json
import os
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

PAGE = Path(__file__).with_name("page.html").read_text()


def install_url():
    """The link for this visitor; None where there is no API key, or no answer."""
    server, key = os.environ.get("WEBDIST_URL"), os.environ.get("WEBDIST_API_KEY")
    if not server or not key:
        return None
    url = server.rstrip("/") + "/install-token?" + urlencode({"app": "com.example.trailmap"})
    try:
        with urlopen(Request(url, headers={"Authorization": f"Bearer {key}"}), timeout=3) as answer:
            return json.load(answer).get("installUrl")
    except URLError:
        return None


class Website(BaseHTTPRequestHandler):
    def do_GET(self):
        url = install_url()
        href, text = (url, "Install") if url else ("/help/install", "How to install")
        body = PAGE.replace("{href}", escape(href)).replace("{text}", text).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")  # the link is for one visitor
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Website).serve_forever()
