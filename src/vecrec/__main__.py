"""``python -m vecrec`` is the command ``vecrec``."""

import sys

from vecrec.cli import main

if __name__ == "__main__":
    sys.exit(main())
