"""`python -m deploy.images`: build every image and print what each adds to the base."""

import sys

from deploy.images.build import IMAGES, added, build_all
from deploy.images.engine import CannotBuild, prepare
from deploy.local.run import Progress


def main() -> int:
    """Build all images."""
    say = Progress()
    try:
        engine = prepare()
        with engine.alone():
            base = build_all(engine, say)
    except CannotBuild as error:
        print(error, file=sys.stderr)
        return 1
    for service in IMAGES:
        say(f"{service:16} {added(engine, service, base) / 1e6:6.1f} MB added to {base}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
