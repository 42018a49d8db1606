"""Scrapes a metrics page ten times a second, until a line comes on standard input, and says how long each answer took.

A script that needs nothing but Python: ``python -I scrape.py URL``. It prints "ready" when it begins and one line of
JSON when it ends: how many scrapes failed, and the nanoseconds of every one.
"""

import http.client
import json
import select
import sys
import time
import urllib.parse

SCRAPE_SECONDS = 0.1
TIMEOUT_SECONDS = 5.0


def scrape(netloc: str, path: str) -> bool:
    """Whether one scrape was answered, with something in it."""
    connection = http.client.HTTPConnection(netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status == 200 and bool(response.read())
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main(url: str) -> None:
    """Scrape until told to stop."""
    parts = urllib.parse.urlsplit(url)
    nanoseconds, failed = [], 0
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], SCRAPE_SECONDS)[0]:
        start = time.monotonic_ns()
        failed += not scrape(parts.netloc, parts.path)
        nanoseconds.append(time.monotonic_ns() - start)
    print(json.dumps({"failed": failed, "nanoseconds": nanoseconds}))


if __name__ == "__main__":
    main(sys.argv[1])
