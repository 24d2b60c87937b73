"""One request on a connection of its own, and the judging of what came: for the tests' clients."""
import http.client
import json
import sys
import urllib.parse


def ask(url, method, path, body=None, user=None):
    """(status, bytes). `body` is sent as it is when it is bytes, else as JSON."""
    parsed = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(parsed.hostname, parsed.port, timeout=30)
    headers = {"Content-Type": "application/json"}
    if user:
        headers["X-Qiao-User"] = user
    text = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    connection.request(method, path, text, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text


def check(what, holds, *seen):
    if not holds:
        sys.exit(f"not so: {what}: {str(seen)[:3000]}")
    print(f"ok: {what}")
