"""What holds of every input: it is read, or refused in one line; nothing is written, and memory is bounded."""

import contextlib
import re
import resource
from pathlib import Path

from dd_nnunet.core.errors import UserError

# threads and libraries take address space of their own
SLACK_BYTES = 256 << 20
# deflate makes at most 1032 bytes of one, and a voxel of one byte becomes a float32 and a few copies
BYTES_PER_FILE_BYTE = 16 * 1032
MAX_LINE = 1500


def first_of(folder, files):
    """Write the files, and return the path of the first."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / next(iter(files))


def read_or_refuse(call, *arguments, folder):
    """The result of a call, or None where it refuses its input as it should."""
    before = contents(folder)
    try:
        with bounded_memory(SLACK_BYTES + BYTES_PER_FILE_BYTE * sum(map(len, before.values()))):
            result = call(*arguments)
    except UserError as error:
        result = None
        check_refusal(error)
    assert contents(folder) == before, "a reader wrote something"
    return result


def check_refusal(error):
    """One line that a person can read, and exit code 2."""
    assert error.exit_code == 2
    for line in error.lines:
        assert line == line.strip() and line.isprintable(), repr(line)
        assert len(line) <= MAX_LINE, len(line)
        line.encode("utf-8")
        assert not re.search(r"cannot be read.*(memory|alloc)", line), line
    assert error.remedy, error.line


@contextlib.contextmanager
def bounded_memory(more_bytes):
    """Let this process take no more address space than it has and so much (where the system tells)."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    taken = int(statm.read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def contents(folder):
    """Name -> bytes of all files in a folder and below."""
    return {
        path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
