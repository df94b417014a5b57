"""Valid files that were changed. SVR_FUZZ sets how many of each kind are tried (40)."""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("SVR_FUZZ", "40"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=10_000,  # ms: nothing hangs
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize="SVR_FUZZ" not in os.environ,
)


def changed(valid: list[bytes], words: list[bytes]) -> st.SearchStrategy[bytes]:
    """One of some valid files, after up to 4 changes: bytes replaced, cut out, doubled, or words put in."""
    piece = st.one_of(st.sampled_from(words), st.binary(max_size=8))
    change = st.tuples(st.integers(0, 10**6), st.integers(0, 40), piece, st.booleans())

    def apply(content: bytes, changes) -> bytes:
        for at, length, new, keep in changes:
            at %= len(content) + 1
            content = content[:at] + new + content[at + (0 if keep else length) :]
        return content

    return st.builds(apply, st.sampled_from(valid), st.lists(change, min_size=1, max_size=4))
