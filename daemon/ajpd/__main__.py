"""python -m ajpd: the same as the command ajpd."""

import sys

from .cli import main

sys.exit(main())
