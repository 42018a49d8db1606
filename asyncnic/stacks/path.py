"""Where the user's own modules are found: stacks and services of the form "package.module:name"."""

import sys


def look_in_current_directory() -> None:
    """Let the user's own modules be found where the service was started, after all others: whoever may write there
    must not be imported in the place of something that we or our libraries import later.
    """
    if "" not in sys.path:
        sys.path.append("")
