"""python -m g4cpp"""

import sys

from g4cpp.cli import main

sys.exit(main())
