"""Whatever happened to an export: it is imported, or the error is ours and names the file."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_db import InvalidInput
from embedded_db.importers import FORMATS, ImportOptions, Source, detect

EXPORTS = {
    "jsonl": '{"content": "a", "timestamp": 1.5}\n{"content": "b", "metadata": {"x": [1]}}\n',
    "chatgpt": json.dumps(
        [
            {
                "title": "t",
                "mapping": {
                    "r": {"id": "r", "parent": None, "message": None},
                    "m": {
                        "id": "m",
                        "parent": "r",
                        "message": {
                            "author": {"role": "user"},
                            "create_time": 1.5,
                            "content": {"content_type": "text", "parts": ["hi"]},
                        },
                    },
                },
                "current_node": "m",
                "conversation_id": "c",
            }
        ]
    ),
    "whatsapp": "31/12/23, 21:02 - Ann: first\nsecond\n31/12/23, 21:03 - Bob: <Media omitted>\n",
    "locomo": json.dumps(
        [
            {
                "sample_id": "s",
                "conversation": {
                    "speaker_a": "A",
                    "session_1_date_time": "1:56 pm on 8 May, 2023",
                    "session_1": [{"dia_id": "D1:1", "speaker": "A", "text": "x"}],
                },
            }
        ]
    ),
    "apollo13": '{"transcript": [{"ddhhmmss": "00:00:01:00", "speaker": "CC", "text": "Roger."}]}',
    "slack": json.dumps(
        [{"type": "message", "user": "U1", "text": "<@U1> hi", "ts": "1735700000.000300"}]
    ),
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def placed(directory, format_, content):
    if format_ != "slack":
        file = directory / f"export.{format_}"
        file.write_bytes(content)
        return file
    folder = directory / "export"
    (folder / "general").mkdir(parents=True, exist_ok=True)
    (folder / "users.json").write_text('[{"id": "U1", "name": "ann"}]')
    (folder / "general" / "2025-01-01.json").write_bytes(content)
    return folder


def read_all(path, format_, *, skip_bad):
    with Source(path, ImportOptions(skip_bad=skip_bad)) as source:
        read = list(FORMATS[format_].read(source))
        return sum(len(batch.messages) for batch in read), source.bad


def refusal(call):
    """The error of ours that a call ended with; any other goes through."""
    try:
        call()
    except InvalidInput as error:
        return error
    return None


def check(path, format_):
    for call in (
        lambda: read_all(path, format_, skip_bad=False),
        lambda: read_all(path, format_, skip_bad=True),
        lambda: detect(path),
    ):
        error = refusal(call)
        assert error is None or (error.path == str(path) and str(path) in error.message)


@pytest.mark.parametrize("format_", sorted(EXPORTS))
def test_the_exports_are_good_before_they_are_damaged(tmp_path, format_):
    path = placed(tmp_path, format_, EXPORTS[format_].encode())
    messages, bad = read_all(path, format_, skip_bad=False)
    assert (messages > 0, bad) == (True, 0)
    assert detect(path) == format_


@pytest.mark.parametrize("format_", sorted(EXPORTS))
@settings(max_examples=2 * settings.default.max_examples)
@given(data=st.data())
def test_damaged_bytes(tmp_path, format_, data):
    content = bytearray(EXPORTS[format_].encode())
    for _ in range(data.draw(st.integers(1, 4), label="damages")):
        at = data.draw(st.integers(0, len(content) - 1), label="at")
        content[at : at + data.draw(st.integers(0, 30))] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b'"', b"]", b"}", b"null", b"\r\n", b"1e999"])
        )
        if not content:
            break
    check(placed(tmp_path, format_, bytes(content)), format_)


@pytest.mark.parametrize("format_", sorted(set(EXPORTS) - {"whatsapp"}))
@settings(max_examples=2 * settings.default.max_examples)
@given(data=st.data())
def test_values_of_the_wrong_kind(tmp_path, format_, data):
    lines = EXPORTS[format_].splitlines() if format_ == "jsonl" else [EXPORTS[format_]]
    whole = [json.loads(line) for line in lines]
    places = list(inner_places(whole))
    container, key = data.draw(st.sampled_from(places), label="place")
    container[key] = data.draw(JSON_VALUES, label="value")
    content = "\n".join(json.dumps(each) for each in whole)
    check(placed(tmp_path, format_, content.encode()), format_)


def inner_places(value):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from inner_places(inner)
