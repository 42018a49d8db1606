"""Write the dashboards' JSON from their Python source, or check that what is committed is what the source makes.

python dashboards/build.py            write
python dashboards/build.py --check    exit 1 and show the difference when a file is stale

Either fails where a panel asks for a metric that the service does not have.
"""

import argparse
import difflib
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from metrics import UnknownMetricError
from overview import UID, overview

HERE = Path(__file__).parent


def rendered() -> dict[Path, str]:
    """Each dashboard's file and what belongs in it; keys are sorted, so that a diff shows what changed."""
    board = json.dumps(overview().build(), cls=JSONEncoder, indent=2, sort_keys=True)
    return {HERE / f"{UID}.json": board + "\n"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Render the dashboards.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a committed file is stale")
    check = parser.parse_args().check
    stale = False
    try:
        boards = rendered()
    except UnknownMetricError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in boards.items():
        committed = path.read_text() if path.exists() else ""
        if committed == text:
            continue
        if check:
            stale = True
            name = path.name
            sys.stdout.writelines(
                difflib.unified_diff(
                    committed.splitlines(True), text.splitlines(True), f"{name} committed", f"{name} built"
                )
            )
            print(f"{name} is stale: run python dashboards/build.py", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"wrote {path.name}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
