from typing import Final

NONE: Final = 0
READ_ONLY: Final = 1
