class MrdbIndicator:
    indicator: int
    def __init__(self, indicator: int) -> None: ...

NULL: MrdbIndicator
DEFAULT: MrdbIndicator
IGNORE: MrdbIndicator
IGNORE_ROW: MrdbIndicator
