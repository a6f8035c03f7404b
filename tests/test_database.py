"""Files and leases in a database: on SQLite everywhere, and on PostgreSQL where it is installed."""

from __future__ import annotations

import threading
import time

import pytest
from filelock import Timeout

from anytime_dspy.errors import RunError
from anytime_dspy.storage import database
from anytime_dspy.storage.database import DatabaseFolder
from anytime_dspy.storage.jsonl import LineLog
from anytime_dspy.storage.key_value import KeyValueFile
from tests.fakes import postgres, processes
from tests.optimizers import compile_on_a_database

RUN = {"task": "trip"}


@pytest.fixture(scope="module")
def server():
    if postgres.missing():
        pytest.skip(str(postgres.missing()))
    with postgres.server() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'database'}"
    return request.getfixturevalue("server").database()


@pytest.fixture
def here(url):
    with DatabaseFolder(url) as folder:
        yield folder


@pytest.fixture
def there(url):
    """As another host has it open."""
    with DatabaseFolder(url) as folder:
        yield folder


def test_lines_are_read_by_others_in_the_order_in_which_they_were_written(here, there):
    first = LineLog(here / "log.jsonl", RUN)
    second = LineLog(there / "log.jsonl", RUN)
    first.append({"text": "a\u2028b\r\n?\x00", "half": "\ud800"})
    second.append("two")
    first.append("three")
    assert second.new_lines() == [{"text": "a\u2028b\r\n?\x00", "half": "?"}, "two", "three"]
    assert second.new_lines() == []
    assert LineLog(there / "log.jsonl", RUN).lines[1:] == ["two", "three"]
    assert LineLog(there / "other.jsonl", RUN).lines == []


def test_a_file_is_of_one_run(here, there):
    LineLog(here / "log.jsonl", RUN)
    with pytest.raises(RunError, match='is of another run: its task is "trip", not "aime"; choose another database'):
        LineLog(there / "log.jsonl", {"task": "aime"})


def test_of_hosts_that_open_a_file_at_the_same_time_one_says_which_run_it_is_of(here, there):
    lines = (here / "log.jsonl").lines(lambda number, content: content)
    opening = threading.Thread(target=LineLog, args=(there / "log.jsonl", RUN))
    with lines.exclusive():
        assert lines.new_lines() == []
        opening.start()
        opening.join(1)
        assert opening.is_alive()
        lines.append('{"fingerprint": {"task": "trip"}}\n')
    opening.join()
    assert LineLog(here / "log.jsonl", RUN).lines == []


def test_hosts_that_write_at_the_same_time_lose_no_line(here, there):
    def write(folder, name):
        log = LineLog(folder / "log.jsonl", RUN)
        for number in range(20):
            log.append(f"{name}{number}")

    writers = [threading.Thread(target=write, args=(folder, name)) for folder, name in [(here, "a"), (there, "b")]]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = LineLog(here / "log.jsonl", RUN).lines
    assert [line for line in lines if line[0] == "a"] == [f"a{number}" for number in range(20)]
    assert [line for line in lines if line[0] == "b"] == [f"b{number}" for number in range(20)]


def values(folder):
    return KeyValueFile(folder / "values.jsonl", {"holds": "values"}, "value", "value")


def test_of_two_values_of_a_key_all_go_on_with_the_first(here, there):
    slow, quick = values(here), values(there)
    assert slow.recall("asked", str, lambda: quick.recall("asked", str, lambda: "first") and "second") == "first"
    assert quick.recall("asked", str, lambda: "third") == "first"
    assert not slow.add("key", "a") or quick.add("key", "b") is False


def test_so_they_do_on_disk(tmp_path):
    slow, quick = values(tmp_path), values(tmp_path)
    assert slow.recall("asked", str, lambda: quick.recall("asked", str, lambda: "first") and "second") == "first"


def test_a_lease_is_held_by_one_until_it_ends(here, there):
    with here.lease("work"):
        with pytest.raises(Timeout), there.lease("work", wait=False):
            pass
        with there.lease("other work", wait=False):
            pass
    with there.lease("work", wait=False):
        pass


def test_a_lease_passes_on_when_its_holder_is_killed_and_not_before(here, url, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "LEASE", 2.0)
    holder = processes.begun(compile_on_a_database.hold, url, "work", 2.0, tmp_path / "taken")
    try:
        while not (tmp_path / "taken").exists():
            time.sleep(0.02)
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            with pytest.raises(Timeout), here.lease("work", wait=False):
                pass
            time.sleep(0.2)
    finally:
        processes.killed(holder)
    with pytest.raises(Timeout), here.lease("work", wait=False):
        pass
    with here.lease("work"):
        pass


def test_a_host_that_is_cut_off_within_a_transaction_does_not_stop_the_others(server, monkeypatch):
    monkeypatch.setattr(database, "CUT_OFF", 1.0)
    url = server.database()
    with DatabaseFolder(url) as here, DatabaseFolder(url) as there:
        LineLog(here / "log.jsonl", RUN)
        lines = (there / "log.jsonl").lines(lambda number, content: content)

        def cut_off():
            with lines.exclusive():
                lines.append("from the one that was cut off\n")
                LineLog(here / "log.jsonl", RUN).append("from the other")
                lines.new_lines()

        with pytest.raises(RunError, match="idle-in-transaction timeout"):
            cut_off()
        assert LineLog(here / "log.jsonl", RUN).lines == ["from the other"]


@pytest.mark.parametrize("url", ["nowhere", "redis://localhost/0"])
def test_what_is_no_url_of_a_database_is_refused(url):
    with pytest.raises(RunError, match="the storage is no url of a database: give one as Optuna takes it"):
        DatabaseFolder(url)


def test_a_driver_that_is_missing_is_named():
    with pytest.raises(RunError, match=r"mysql needs a driver \(No module named 'MySQLdb'\): for PostgreSQL, pip"):
        DatabaseFolder("mysql://localhost/words")
