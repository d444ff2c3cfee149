"""What travels in and out, and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from udf.sandbox import GuestError, SandboxError

BACK = "made = arrays"
ARRAYS = {
    "floats": np.linspace(0, 1, 1000, dtype="f4").reshape(10, 4, 25),
    "floats with gaps": np.array([1.5, np.nan, np.inf]),
    "half floats": np.arange(5, dtype="f2"),
    "complex": np.array([1 + 2j, -3j], "c8"),
    "bytes": np.arange(256, dtype="u1"),
    "wide integers": np.array([-(2**63), 2**63 - 1]),
    "truth values": np.array([[True], [False]]),
    "dates": np.array(["2020-01-01", "NaT"], "M8[ns]"),
    "durations": np.array([1, -5], "m8[D]"),
    "texts": np.array(["", "Grünland", "🌲"]),
    "no text": np.array(["", ""]),
    "one value": np.array(3.5),
    "none": np.zeros((3, 0, 2), "i2"),
    "every other": np.arange(100).reshape(10, 10)[::2, ::-3],
    "columns first": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "repeated": np.broadcast_to(np.arange(3.0), (4, 3)),
    "another byte order": np.arange(5, dtype=">i4"),
}


def test_arrays_come_back_as_they_went(box):
    _, made = box.call({"code": BACK}, list(ARRAYS.values()))
    assert len(made) == len(ARRAYS)
    for name, there, back in zip(ARRAYS, ARRAYS.values(), made, strict=True):
        assert back.dtype == there.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(back, there, err_msg=name, strict=False)
        assert back.shape == there.shape, name


def test_answers_can_be_written_to_and_outlive_the_sandbox(opened):
    with opened() as box:
        _, (made,) = box.call({"code": BACK}, [np.arange(5.0)])
        box.call({"code": BACK}, [np.zeros(5)])
    made += 1
    assert made.tolist() == [1, 2, 3, 4, 5]


def test_guests_write_into_copies(box):
    values = np.arange(100_000.0)
    _, (made,) = box.call({"code": "arrays[0][:] = 7; made = arrays"}, [values])
    assert (made == 7).all()
    np.testing.assert_array_equal(values, np.arange(100_000.0))


def test_requests_and_answers_are_json(box):
    request = {"code": "answer = {'back': request['text'], 'none': None}", "text": ["Grünland", 1.5, {"a": False}]}
    assert box.call(request, [])[0] == {"back": ["Grünland", 1.5, {"a": False}], "none": None}


@pytest.mark.parametrize("values", [np.array([object()]), np.array([b"abc"]), np.zeros(2, [("a", "f4")])])
def test_other_types_are_refused_with_the_remedy(box, values):
    with pytest.raises(SandboxError, match="cannot travel; convert it to numbers") as caught:
        box.call({"code": BACK}, [values])
    assert caught.value.kind == "refused"


def test_nothing_of_another_call_is_in_the_shared_memory(box):
    secret = np.full(200_000, 1234.5)
    box.call({"code": BACK}, [secret])
    look = (
        "import os, struct\n"
        'body = b\'{"answer": {}, "arrays": [{"dtype": "<f8", "shape": [400000], "offset": 0}]}\'\n'
        "for n in range(3, 64):\n"
        "    try: os.write(n, struct.pack('<cI', b'A', len(body)) + body)\n"
        "    except OSError: pass\n"
    )
    _, (left,) = box.call({"code": look}, [np.zeros(1)])
    assert not (left == 1234.5).any()
    scan = (
        "import mmap, os\n"
        "for n in range(3, 64):\n"
        "    try: content = os.pread(n, 1 << 24, 0)\n"
        "    except OSError: continue\n"
        "    answer[str(n)] = [len(content), content.count(bytes(arrays[0].tobytes()))]\n"
    )
    found, _ = box.call({"code": scan}, [np.array([1234.25])])
    assert found  # it reads its own input, once, and not more than that
    assert all(size <= 3 * 4096 and count == 1 for size, count in found.values())


def test_a_guests_error_tells_its_message_and_place(box):
    with pytest.raises(GuestError, match="ZeroDivisionError: division by zero") as caught:
        box.call({"code": "log({'message': 'before'})\nx = 1\nx / 0"}, [])
    assert "line 3" in caught.value.traceback
    assert caught.value.logs == [{"message": "before"}]


def test_a_handlers_own_message_and_traceback_are_kept(box):
    code = "class Mine(Exception): message = 'in a sentence'; traceback = 'its own lines'\nraise Mine"
    with pytest.raises(GuestError) as caught:
        box.call({"code": code}, [])
    assert (caught.value.message, caught.value.traceback) == ("in a sentence", "its own lines")
