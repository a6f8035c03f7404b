"""Workers of several hosts on one PostgreSQL; no file is shared but the test's own record of their calls."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from dataclasses import dataclass

import dspy
import optuna
import pytest

from anytime_dspy.errors import RunError
from anytime_dspy.storage import database
from anytime_dspy.testing import ScriptedEngine
from tests.fakes import postgres, processes
from tests.fakes.processes import ended
from tests.fakes.simulated import simulated
from tests.optimizers import compile_on_a_database
from tests.optimizers.compile_that_is_killed import compiled, state_of

WORKERS = 4
LEASE = 6.0
"""Seconds; long enough for two busy cores to renew one in time."""

pytestmark = [
    pytest.mark.skipif(postgres.missing() is not None, reason=str(postgres.missing())),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def server():
    with postgres.server() as running:
        yield running


def lm_of(reply=simulated):
    """An LM, with the requests that it was sent."""
    asked = []

    def counted(request):
        asked.append(request)
        return reply(request)

    return dspy.LM("telling/engine", engine=ScriptedEngine(counted), cache=False), asked


MIDDLE = {"samples": 2, "trials": 5, "rounds": 1}
SMALL = {"samples": 1, "trials": 2, "rounds": 1}


@pytest.fixture(scope="module")
def alone():
    """What one worker alone comes to, which shares nothing, and how many calls it makes."""
    lm, asked = lm_of()
    return state_of(compiled(lm, **MIDDLE)), len(asked)


@pytest.fixture(scope="module")
def small():
    """The same of a small compile."""
    lm, asked = lm_of()
    return state_of(compiled(lm, **SMALL)), len(asked)


@dataclass(frozen=True)
class Event:
    kind: str
    call: str
    process: int


def told(folder):
    path = folder / "told"
    lines = path.read_text().splitlines() if path.exists() else []
    return [Event(kind, call, int(process)) for kind, call, process in map(str.split, lines)]


def repeated(events):
    """Calls that began although they had ended: a process that had gone on after them had them written down."""
    last, finished, again = {}, set(), []
    for event in events:
        before = last.get(event.process)
        if before and before.kind == "ended":
            finished.add(before.call)
        if event.kind == "begun" and event.call in finished:
            again.append(event.call)
        last[event.process] = event
    return again


def results(folder):
    return [path.read_text() for path in folder.glob("result-*")]


def waited(condition, seconds=500):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_four_workers_that_are_each_killed_once_come_to_what_one_alone_does(server, alone, tmp_path):
    url = server.database()

    def begun():
        return processes.begun(compile_on_a_database.main, tmp_path, url, LEASE, database.CUT_OFF, MIDDLE)

    winner, calls = alone
    workers = [begun() for _ in range(WORKERS)]
    unharmed, again = list(workers), []
    for at in (0.1, 0.5, 0.7, 0.85):  # while traces are sampled, squeezed, and while candidates race
        waited(lambda at=at: len(told(tmp_path)) > 2 * at * calls)
        last = told(tmp_path)[-1].process
        victim = next((one for one in unharmed if one.pid == last), unharmed[-1])
        assert processes.killed(victim)
        unharmed.remove(victim)
        again.append(begun())
    assert [ended(worker) for worker in again] == [0] * WORKERS
    assert results(tmp_path) == [winner] * WORKERS
    events = told(tmp_path)
    assert not repeated(events)
    assert len({event.process for event in events}) >= WORKERS // 2
    begun_calls = Counter(event.call for event in events if event.kind == "begun")
    # Beyond what each was at work on when it was killed, a starved worker may lose a lease that it still works on.
    assert calls <= sum(begun_calls.values()) < 1.5 * calls


def test_a_worker_that_was_suspended_for_longer_than_its_lease_agrees_with_those_who_took_over(server, alone, tmp_path):
    url = server.database()

    def begun():
        return processes.begun(compile_on_a_database.main, tmp_path, url, LEASE, 2 * LEASE, MIDDLE)

    first = begun()
    waited(lambda: len(told(tmp_path)) > 20)
    os.kill(first.pid, signal.SIGSTOP)
    second = begun()
    assert ended(second) == 0
    os.kill(first.pid, signal.SIGCONT)
    if ended(first):  # it was suspended while it wrote, and what it wrote with was closed
        assert ended(begun()) == 0
    assert results(tmp_path) == [alone[0]] * 2
    events = told(tmp_path)
    assert {event.process for event in events} >= {first.pid, second.pid}
    assert not repeated(events)


def refused(storage, **options):
    """What a compile says that pays for nothing."""
    lm, asked = lm_of()
    with pytest.raises(RunError) as refusal:
        compiled(lm, storage=storage, **{**SMALL, **options})
    assert not asked
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def used(server):
    """A database with a compile in it."""
    url = server.database()
    compiled(lm_of()[0], storage=url, **SMALL)
    return url


def test_what_is_there_is_not_asked_for_again_and_another_compile_is_refused(server, small):
    url = used(server)
    lm, asked = lm_of()
    assert state_of(compiled(lm, storage=url, **SMALL)) == small[0]
    assert not asked
    said = refused(url, temperature=0.8)
    assert said.endswith("is of another run: its temperature is 0.9, not 0.8; choose another database")
    assert refused(url, seed=7).endswith("; choose another database")
    server.execute(url, "CREATE SCHEMA words")
    elsewhere = f"{url}&options=-csearch_path%3Dwords"
    assert compiled(lm, storage=elsewhere, **SMALL, seed=7).compile_report.pairs is not None
    assert asked
    server.execute(url, "SELECT content FROM words.anytime_dspy_lines", "SELECT value FROM words.trial_values")


def with_optunas_tables(server):
    """A database in which Optuna alone has been."""
    url = server.database()
    optuna.storages.RDBStorage(url).engine.dispose()
    return url


def test_a_role_that_may_not_write_is_refused(server):
    url = with_optunas_tables(server)
    server.execute(
        url,
        "CREATE ROLE reader LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO reader",
        "GRANT CREATE ON SCHEMA public TO reader",
    )
    reader = url.replace("postgres@", "reader@")
    said = refused(reader)
    assert "cannot be used: permission denied for table stud" in said
    assert said.endswith("mend that, or choose another database")
    server.execute(
        url, "ALTER TABLE anytime_dspy_leases OWNER TO postgres", "GRANT SELECT ON anytime_dspy_leases TO reader"
    )
    assert "permission denied for table anytime_dspy_leases" in refused(reader)


FULL = """
CREATE FUNCTION no_space() RETURNS trigger AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$
LANGUAGE plpgsql
"""


def trigger(table):
    return f"CREATE TRIGGER no_space_left BEFORE INSERT ON {table} EXECUTE FUNCTION no_space()"


def test_a_full_database_is_refused(server):
    url = server.database()
    compiled(lm_of()[0], storage=url, samples=2, trials=0, rounds=None)
    server.execute(url, FULL, trigger("anytime_dspy_leases"))
    assert "No space left on device" in refused(url, samples=2, trials=0, rounds=None)


@pytest.mark.parametrize("table", ["anytime_dspy_lines", "trials"])
def test_a_database_that_fills_up_costs_the_call_at_work(server, small, table, monkeypatch):
    monkeypatch.setattr("optuna.storages._rdb.storage.random.random", lambda: 0.0)  # it waits, and tries five times
    url, (winner, calls) = server.database(), small

    def filling(request):
        if len(asked) == calls - 20:
            server.execute(url, FULL, trigger(table))
        return simulated(request)

    lm, asked = lm_of(filling)
    with pytest.raises(RunError, match="cannot be used: could not extend file: No space left on device"):
        compiled(lm, storage=url, **SMALL)
    assert calls - 20 <= len(asked) <= calls
    server.execute(url, f"DROP TRIGGER no_space_left ON {table}")
    assert state_of(compiled(lm, storage=url, **SMALL)) == winner
    assert len(asked) <= calls + 1


@pytest.mark.parametrize("version", ["v2.6.0.a", "v999"])
def test_optunas_tables_of_another_version_are_refused(server, version):
    url = with_optunas_tables(server)
    server.execute(url, f"UPDATE alembic_version SET version_num = '{version}'")
    said = refused(url)
    assert "Optuna's tables in postgresql+psycopg://postgres@/" in said
    assert "are of another version" in said
    assert said.endswith("upgrade them, or choose another database")


def test_our_tables_of_another_version_are_refused(server):
    url = server.database()
    server.execute(url, "CREATE TABLE anytime_dspy_lines (file text, number integer, text text)")
    assert "column anytime_dspy_lines.content does not exist" in refused(url)


def test_a_study_of_that_name_that_is_no_race_is_refused(server):
    url = server.database()
    storage = optuna.storages.RDBStorage(url)
    study = optuna.create_study(study_name="anytime-dspy round-0", storage=storage, direction="maximize")
    study.add_trial(optuna.trial.create_trial(value=1.0))
    storage.engine.dispose()
    assert "none of this search" in refused(url)


def test_a_server_that_is_away_is_refused(server, tmp_path):
    said = refused(f"postgresql://somebody:secret@/words?host={tmp_path}")
    assert re.search("cannot be used: connection .* failed: No such file or directory", said)
    assert "secret" not in said
    assert 'database "nowhere" does not exist' in refused(server.url("nowhere"))


def test_a_server_that_goes_away_costs_the_call_at_work(server, small, monkeypatch):
    monkeypatch.setattr(database, "LEASE", 3.0)  # what was claimed cannot be given back then
    url, (winner, calls) = server.database(), small

    def stopping(request):
        if len(asked) == calls - 20:
            server.control("stop", "-m", "fast")
        return simulated(request)

    lm, asked = lm_of(stopping)
    try:
        with pytest.raises(RunError, match=r"cannot be used: .*failed: No such file or directory; mend that"):
            compiled(lm, storage=url, **SMALL)
    finally:
        server.control("start")
    assert state_of(compiled(lm, storage=url, **SMALL)) == winner
    assert len(asked) <= calls + 1
