from typing import Final

NONE: Final = 0
XID: Final = 1
PREPARE: Final = 2
