"""Asks the scorer without a pause until /tmp/stop is there, then prints what it saw; runs in a pod, on its own.

Half of the requests come by connections of their own, half by one that is kept and opened again when it was closed
between two requests, as any client's pool does. Nothing is asked twice.
"""

import http.client
import json
import os
import time
from pathlib import Path

BODY = os.environ["BODY"]
PATH = "/v2/models/quipu/infer"


def main() -> None:
    """Ask until told to stop, or for five minutes."""
    kept = http.client.HTTPConnection("scorer", timeout=10)
    requests, failures, versions = 0, [], []
    deadline = time.monotonic() + 300
    while not Path("/tmp/stop").exists() and time.monotonic() < deadline:
        kept, own = reopened(kept), http.client.HTTPConnection("scorer", timeout=10)
        for connection in (kept, own):
            requests += 1
            try:
                connection.request("POST", PATH, BODY, {"content-type": "application/json"})
                response = connection.getresponse()
                told = response.read()
                if response.status == 200:
                    version = json.loads(told)["model_version"]
                    if version not in versions:
                        print(f"answered by {version}", flush=True)
                    versions += [version] if version not in versions[-1:] else []
                else:
                    failures.append(str(response.status))
            except OSError as error:
                failures.append(type(error).__name__)
                connection.close()
        own.close()
        time.sleep(0.02)
    print(json.dumps({"requests": requests, "failures": failures, "versions": versions}), flush=True)


def reopened(connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
    """The connection, or a new one where the other side has closed it or it is 20 requests old."""
    closed = False
    if connection.sock is not None:
        connection.sock.setblocking(False)
        try:
            closed = connection.sock.recv(1) == b""
        except BlockingIOError:
            pass
        except OSError:
            closed = True
        if not closed:
            connection.sock.settimeout(10)
    if closed:
        connection.close()
        return http.client.HTTPConnection("scorer", timeout=10)
    return connection


main()
