"""What a client has read, beside what it should have."""

from __future__ import annotations

from collections.abc import Sequence

import attrs


@attrs.define
class Tally:
    """How the lists of some clients compare with that of who never left."""

    gaps: int = 0
    duplicates: int = 0
    disordered: int = 0
    missing: int = 0
    """Messages, over all of them."""

    def judge(self, numbers: Sequence[int], reference: Sequence[int]) -> None:
        seen = list(dict.fromkeys(numbers))
        missing = set(reference) - set(seen)
        self.missing += len(missing)
        self.gaps += bool(missing)
        self.duplicates += len(seen) != len(numbers)
        self.disordered += seen != [number for number in reference if number not in missing]
