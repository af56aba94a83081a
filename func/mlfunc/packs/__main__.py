"""`python -m mlfunc.packs detect|build`: what bin/detect and bin/build of a buildpack call."""

from __future__ import annotations

import sys

from mlfunc.errors import MlfuncError
from mlfunc.packs import contract
from mlfunc.ui import Ui

if __name__ == "__main__":
    try:
        sys.exit(contract.main(sys.argv[1:]))
    except MlfuncError as error:
        Ui().error(error)
        sys.exit(error.exit_code)
    except OSError as error:
        Ui().error(MlfuncError(f"{error.filename or 'the system'}: {error.strerror or error}"))
        sys.exit(MlfuncError.exit_code)
