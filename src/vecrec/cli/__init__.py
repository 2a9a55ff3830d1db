"""The command ``vecrec``.

Results go to stdout, as tables for people or with ``--json`` as JSON for programs; progress and errors go to stderr.
It ends with 0 when all is well; 1 when something failed or, for ``doctor`` and ``verify``, was found; 2 for arguments
or data that cannot be used; 3 when a store does not answer; 4 when nothing is published yet; 130 after Ctrl-C.
"""

from vecrec.cli.main import main

__all__ = ["main"]
