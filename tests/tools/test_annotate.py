"""The gate for hot functions: it sees what talks to Python, and ours do not."""

from pathlib import Path

import pytest

from tests.tools.annotate_gate import complaints, hot_functions, main

SOURCE = '''
cimport cython

# hot
cdef int quick(
    const unsigned char* p, Py_ssize_t length
) noexcept nogil:
    """Sum."""
    cdef int total = 0
    cdef Py_ssize_t i
    for i in range(length):
        total += p[i]

    return total


cdef class Thing:
    # hot
    @cython.final
    cdef int slow(self, object other) except -1:
        total = other + 1
        return 0

    cdef object free(self, object other):
        return other + 2
'''


def test_marked_functions_are_found_whole() -> None:
    quick, slow = hot_functions(SOURCE)
    lines = SOURCE.splitlines()
    assert (quick.name, slow.name) == ("quick", "slow")
    assert lines[quick.first - 1].startswith("cdef int quick(")
    assert lines[quick.last - 1] == "    return total"
    assert lines[slow.first - 1].lstrip().startswith("cdef int slow")
    assert lines[slow.last - 1] == "        return 0"


@pytest.mark.parametrize("text", ["# hot", "# hot\nx = 1\n", "# hot\n\ncdef int f():\n    pass\n"])
def test_mark_without_a_function(text: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        hot_functions(text)


@pytest.mark.slow
def test_only_what_talks_to_python_is_reported(tmp_path: Path) -> None:
    source = tmp_path / "sample.pyx"
    source.write_text(SOURCE)
    found = complaints(source, [])
    assert any("total = other + 1" in complaint for complaint in found)
    assert all("slow is hot" in complaint for complaint in found)


@pytest.mark.slow
def test_our_hot_functions_do_without_python() -> None:
    assert main() == 0
