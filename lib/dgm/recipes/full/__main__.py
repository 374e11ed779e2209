"""`python -m dgm.recipes.full FAMILY --data PATH`: see `dgm.recipes.full.command`."""

import sys

from dgm.recipes.full.command import main

sys.exit(main())
