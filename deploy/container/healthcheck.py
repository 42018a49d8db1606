"""Container health: exit 0 when the service answers /-/healthy, 1 otherwise.

Not a readiness probe (that is /-/ready): a service that drains or waits for its device is alive. Standard library only,
and nothing of asyncnic is imported, so that a check costs little. A 401 is a sign of life too: the web config asks for
a password.
"""

import os
import ssl
import sys
import urllib.error
import urllib.request


def health_url(environment: dict[str, str]) -> str:
    """Where this container's service answers, from the variables that configure it."""
    host, _, port = environment.get("ASYNCNIC_LISTEN", "127.0.0.1:9732").rpartition(":")
    if host in ("", "0.0.0.0"):
        host = "127.0.0.1"
    elif host in ("[::]", "::"):
        host = "[::1]"
    scheme = "https" if environment.get("ASYNCNIC_WEB_CONFIG") else "http"
    return f"{scheme}://{host}:{port}/-/healthy"


def main() -> int:
    url = health_url(dict(os.environ))
    # The certificate names the service as others see it, never this loopback address: nothing here to verify.
    context = ssl._create_unverified_context() if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(url, timeout=2, context=context):
            return 0
    except urllib.error.HTTPError as error:
        return 0 if error.code == 401 else 1
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
