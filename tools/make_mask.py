"""`vidprior track` under its earlier name: masks by tracking, or from boxes."""

import sys

from vidprior.errors import InputError
from vidprior.tracking import command

if __name__ == "__main__":
    try:
        command.main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
