"""``python -m asyncnic`` is ``asyncnic``."""

import sys

from asyncnic.cli import main

sys.exit(main())
