"""Files and urls that are whole, and every way in which they are not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import BaseModel

from anytime_dspy.errors import DataError
from anytime_dspy.programs.records import hub_records, read_records


class Row(BaseModel):
    name: str
    size: int


ROWS = [{"name": "a", "size": 1}, {"name": "b\u2028c", "size": 2, "more": True}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.json"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (json.dumps(ROWS), ["0", "1"]),
        (json.dumps(ROWS, indent=1), ["0", "1"]),
        (json.dumps(dict(zip("xy", ROWS, strict=True))), ["x", "y"]),
        ("\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n", ["0", "1"]),
        (json.dumps(ROWS[0]), ["0"]),
        ("\ufeff" + json.dumps(ROWS), ["0", "1"]),
    ],
    ids=["array", "indented", "object", "lines", "one line", "byte order mark"],
)
def test_records_are_read_in_order(path: Path, text: str, keys: list[str]) -> None:
    path.write_text(text, encoding="utf-8")
    records = read_records(path, Row)
    assert list(records) == keys
    assert [(record.name, record.size) for record in records.values()] == [("a", 1), ("b\u2028c", 2)][: len(keys)]


LINES = "\n".join(map(json.dumps, ROWS))
BAD = {
    "empty": (" \n", "is empty"),
    "no records": ("[]", "no records"),
    "object cut off": (json.dumps({"x": ROWS[0], "y": ROWS[1]})[:-20], "not whole JSON"),
    "array cut off": (json.dumps(ROWS, indent=1)[:-20], "not whole JSON"),
    "lines cut off": (LINES[:-20], "line 2 is not whole JSON"),
    "no JSON": ("<html>404</html>", "not whole JSON"),
    "key missing": (LINES.replace('"size": 2', '"length": 2'), "line 2: the key 'size' is missing"),
    "named record": (json.dumps({"x": ROWS[0], "y": {}}), "record 'y': the key 'name' is missing"),
    "wrong type": (json.dumps([ROWS[0], {"name": "b", "size": "big"}]), "record 1: the key 'size' is wrong"),
    "no object": ("[1, 2]", "record 0: a JSON object is wanted"),
    "a number": ("3", "line 1: a JSON object is wanted"),
}


@pytest.mark.parametrize(("text", "complaint"), BAD.values(), ids=BAD.keys())
def test_broken_files_are_named_in_one_line(path: Path, text: str, complaint: str) -> None:
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_records(path, Row)
    message = str(caught.value)
    assert complaint in message
    assert str(path) in message
    assert "\n" not in message


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_records(tmp_path / "none.json", Row)
    with pytest.raises(DataError, match="cannot read"):
        read_records(tmp_path, Row)
    binary = tmp_path / "data.zip"
    binary.write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        read_records(binary, Row)


def test_urls_are_read_as_files_are(server: str, path: Path) -> None:
    path.write_text(LINES)
    assert list(read_records(f"{server}/{path.name}", Row)) == ["0", "1"]


def test_urls_out_of_reach_say_what_to_do(server: str) -> None:
    for url in (f"{server}/none.json", "http://127.0.0.1:1/rows.json", "http://"):
        with pytest.raises(DataError, match=r"could not download .* --data PATH") as caught:
            read_records(url, Row)
        assert "\n" not in str(caught.value)


def test_hub_out_of_reach_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"could not load anytime-dspy/none \(test\).* --data PATH") as caught:
        hub_records("anytime-dspy/none", "main", "test", Row)
    assert "\n" not in str(caught.value)


def test_a_file_on_the_hub_out_of_reach_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"could not download hf://.* --data PATH") as caught:
        read_records("hf://datasets/anytime-dspy/none/rows.jsonl", Row)
    assert "\n" not in str(caught.value)
