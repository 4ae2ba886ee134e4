"""`python -m backoffice`: the consumer kit."""

import sys

from backoffice.kit.main import main

sys.exit(main())
