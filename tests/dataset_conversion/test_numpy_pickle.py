"""Pickles of plain numpy arrays are read; any other is refused, and nothing of it is ever run."""

import contextlib
import os
import pickle
import struct

import numpy as np
import pytest

from dataset_conversion import numpy_pickle
from dataset_conversion.numpy_pickle import read_array
from dd_nnunet.core.errors import UserError

STORED = [
    np.arange(24.0).reshape(2, 3, 4),
    np.asfortranarray(np.arange(24, dtype=">i2").reshape(2, 3, 4)),
    np.arange(70_000).reshape(7, 100, 100) % 300,
    np.array([[True, False]]),
    np.float32([[0.5, -1.5]]),
    np.zeros((0, 3), np.uint8),
    np.array(5, np.uint64),
]
# by hand, as numpy 1 and Python 2 wrote it: np.array([1, 2], "<i2")
PYTHON_2 = (
    b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n"
    b"(S'i2'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x01\\x00\\x02\\x00'\ntb."
)
ARRAY = pickle.dumps(np.arange(6, dtype=np.int16).reshape(1, 2, 3), protocol=2)


class Touch:
    """Unpickled by a careless reader, it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


class Evil(np.ndarray):
    """An array of a class of its own."""


def evil_samples(mark):
    """Pickles that a real unpickler would follow; most of them make the file `mark`."""
    text = f"touch {mark}".encode()
    short = b"U" + bytes([len(text)]) + text
    objects = np.empty(2, object)
    objects[:] = [Touch(mark), 1]
    binput = b"q\x00"
    return {
        **{f"reduce {p}": pickle.dumps(Touch(mark), protocol=p) for p in range(6)},
        **{f"object array {p}": pickle.dumps(objects, protocol=p) for p in range(6)},
        "in a tuple": pickle.dumps((np.zeros(2), Touch(mark)), protocol=4),
        "behind a popped array": ARRAY[:-1] + b"0cposix\nsystem\n" + short + b"\x85R.",
        "before the array, popped": b"cposix\nsystem\n" + short + b"\x85R0" + ARRAY[2:],
        "global from a memo": b"cposix\nsystem\n" + binput + b"0h\x00" + short + b"\x85R.",
        "stack_global": b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + short + b"\x85R.",
        "stack_global, from numpy": b"\x80\x04\x8c\x05numpy\x8c\x04load\x93" + short + b"\x85R.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93" + short + b"\x85R.",
        "inst": b"(S'touch " + str(mark).encode() + b"'\niposix\nsystem\n.",
        "obj": b"(cposix\nsystem\n" + short + b"o.",
        "newobj": b"cposix\nsystem\n" + short + b"\x85\x81.",
        "newobj_ex": b"\x80\x04cposix\nsystem\n" + short + b"\x85}\x92.",
        "ext1": b"\x80\x02\x82\x01.",
        "ext2": b"\x80\x02\x83\x01\x00.",
        "ext4": b"\x80\x02\x84\x01\x00\x00\x00.",
        "persid": b"Pname\n.",
        "binpersid": short + b"Q.",
        "build of a dict": b"cnumpy\nndarray\n}b.",
        "setitem": b"}" + short + short + b"s.",
        "eval": b"c__builtin__\neval\n" + short + b"\x85R.",
        "codecs open": b"c_codecs\nopen\n" + short + b"\x85R.",
        "encode with another codec": b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
        "bytes with arguments": b"c__builtin__\nbytes\n" + short + b"\x85R.",
        "class called": b"cnumpy\nndarray\nK\x05\x85R.",
        "buffer": b"\x80\x05\x97.",
    }


def refusal(data):
    with pytest.raises(UserError) as caught:
        parse(data)
    return caught.value


def parse(data):
    """Through a file, as the converter does it."""
    path = parse.folder / "a.p"
    path.write_bytes(data)
    return read_array(path)


@pytest.fixture(autouse=True)
def folder(tmp_path):
    parse.folder = tmp_path


@pytest.mark.parametrize("protocol", range(5))
def test_every_protocol(protocol):
    for array in STORED:
        found = parse(pickle.dumps(array, protocol=protocol))
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype.newbyteorder("=")
        assert found.shape == array.shape
        assert found.flags.writeable


def test_arrays_of_numpy_1_and_of_numpy_2():
    assert b"numpy._core.multiarray" in ARRAY
    older = ARRAY.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    for data in (ARRAY, older):
        np.testing.assert_array_equal(parse(data), [[[0, 1, 2], [3, 4, 5]]])


def test_an_array_of_python_2():
    np.testing.assert_array_equal(parse(PYTHON_2), [1, 2])
    np.testing.assert_array_equal(pickle.loads(PYTHON_2, encoding="latin1"), [1, 2])


def test_most_samples_are_real(tmp_path):
    mark, worked = tmp_path / "mark", set()
    for name, data in evil_samples(mark).items():
        with contextlib.suppress(Exception):
            pickle.loads(data)
        if mark.exists():
            worked.add(name)
            mark.unlink()
    assert {"reduce 0", "reduce 5", "object array 4", "in a tuple", "inst", "obj", "stack_global"} <= worked
    assert {"behind a popped array", "before the array, popped", "global from a memo"} <= worked


@pytest.mark.parametrize("name", evil_samples("m"))
def test_evil_is_refused_and_not_run(name, tmp_path):
    mark = tmp_path / "mark"
    error = refusal(evil_samples(mark)[name])
    assert not mark.exists()
    assert error.where.endswith("a.p")
    assert "only pickles of one plain numpy array" in error.remedy


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.array([{}, 1], object), "type 'O8'"),
        (np.array(["text"]), "type 'U4'"),
        (np.zeros(2, np.complex64), "type 'c8'"),
        (np.zeros(2, [("a", "i4")]), "type 'V4'"),
        (np.array(["2020-01-01"], "M8[D]"), "type 'M8'"),
        (np.ma.masked_array([1, 2]), "names numpy.ma.core._mareconstruct"),
        (np.arange(3).view(Evil), "names test_numpy_pickle.Evil"),
        (np.float64(3), "names numpy._core.multiarray.scalar"),
        ([1, 2], "has the opcode EMPTY_LIST"),
        ({"a": 1}, "has the opcode EMPTY_DICT"),
        ((1, 2), "holds something else than one array"),
        (3, "holds something else than one array"),
        ((np.zeros(2), np.zeros(2)), "holds something else than one array"),
    ],
)
def test_other_contents(value, reason):
    assert reason in refusal(pickle.dumps(value, protocol=4)).reason


def test_every_prefix_and_what_follows():
    for length in range(len(ARRAY)):
        assert refusal(ARRAY[:length]).reason == "is no pickle, or is cut off"
    assert refusal(ARRAY + b"N.").reason == "goes on behind its end"
    assert refusal(b"").reason == "is no pickle, or is cut off"
    assert refusal(b"\x1f\x8b" + ARRAY).reason == "is no pickle, or is cut off"


def test_every_flipped_byte_is_refused_or_is_another_array(tmp_path):
    path, kinds = tmp_path / "flipped.p", {"refused": 0, "read": 0}
    for position in range(len(ARRAY)):
        for bit in range(8):
            data = bytearray(ARRAY)
            data[position] ^= 1 << bit
            path.write_bytes(data)
            try:
                found = read_array(path)
            except UserError as error:
                assert error.where == str(path) or error.where == path
                kinds["refused"] += 1
            else:
                assert type(found) is np.ndarray and found.dtype.kind in "biuf"
                kinds["read"] += 1
    assert min(kinds.values()) > 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80\x04B\xff\xff\xff\x7f1.", "is no pickle, or is cut off"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"1.", "is no pickle, or is cut off"),
        (b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"1.", "has the opcode POP_MARK"),
        (b"\x8b\xff\xff\xff\x7f1.", "is no pickle, or is cut off"),
        (b"I" + b"9" * 5000 + b"\n.", "is no pickle, or is cut off"),
        (b"h\x05.", "recalls a value that is not there"),
        (b"t.", "ends a list that was not begun"),
        (b"(R.", "takes a value that is not there"),
        (b"N(0.", "has the opcode POP"),
        (b"2.", "has the opcode DUP"),
        (b"(" * 5000 + b".", "has over 1000 opcodes"),
        (b"NNN.", "holds something else than one array"),
    ],
)
def test_tricks_with_sizes_stack_and_memo(data, reason):
    assert reason in refusal(data).reason


def test_doubling_by_the_memo_costs_nothing():
    """Each step is a pair of the last one: 2^400 leaves, were anybody to look at them."""
    steps = b"".join(b"q\x00h\x00\x86" for _ in range(300))
    assert "holds something else" in refusal(b"N" + steps + b".").reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        # shape (1, 2, 3) in protocol 2: K1 K2 K3 TUPLE3
        (b"K\x01K\x02K\x03\x87", b"K\x01K\x02K\x04\x87", "whose size is not that of its 12 bytes"),
        (b"K\x01K\x02K\x03\x87", b"K\x01K\x02J\xff\xff\xff\xff\x87", "an impossible shape"),
        (b"K\x01K\x02K\x03\x87", b"K\x01K\x02J\xff\xff\xff\x7f\x87", "whose size is not that"),
        (b"K\x01K\x02K\x03\x87", b"K\x01K\x02\x8a\x05\x00\x00\x00\x00\x01\x87", "an impossible shape"),
        (b"K\x01K\x02K\x03\x87", b"K\x01K\x02N\x87", "an impossible shape"),
        (b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00?", "otherwise than numpy does"),
        (b"X\x02\x00\x00\x00i2", b"X\x02\x00\x00\x00O8", "holds values of type 'O8'"),
        (b"X\x06\x00\x00\x00latin1", b"X\x05\x00\x00\x00utf-8", "calls encode otherwise than numpy does"),
    ],
)
def test_arrays_that_lie(old, new, reason):
    assert ARRAY.count(old) >= 1
    assert reason in refusal(ARRAY.replace(old, new)).reason


def test_contents_are_set_once():
    # the array, then what it was built from once more, from the memo
    put, number, build = ARRAY[-4:-3], ARRAY[-3:-2], ARRAY[-2:-1]
    assert (put, build) == (b"q", b"b")
    twice = ARRAY[:-1] + b"h" + number + b"b."
    assert "sets the contents of something otherwise than numpy does" in refusal(twice).reason


def test_large_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(numpy_pickle, "LARGEST_FILE_BYTES", 10)
    assert "is larger than" in refusal(ARRAY).reason
    with pytest.raises(UserError, match="does not exist"):
        read_array(tmp_path / "missing.p")
