"""A folder that is kept in a database, for processes on several hosts: files of lines, and leases on work."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

import sqlalchemy as sql
from filelock import Timeout
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from anytime_dspy.errors import RunError

__all__ = ["LEASE", "DatabaseFile", "DatabaseFolder", "DatabaseLines"]

logger = logging.getLogger(__name__)

Line = TypeVar("Line")

LEASE = 60.0
"""Seconds after which a lease that was not renewed is taken over, by the clock of the one who waits: hosts' clocks are
never compared. It is renewed ten times as often."""

CUT_OFF = 60.0
"""Seconds after which PostgreSQL ends a transaction of which it hears nothing more: its locks would stop all others."""

POLL = 0.2
"""Seconds between two looks at a lease that somebody else holds."""

_TABLES = sql.MetaData()
_FILES = sql.Table(
    "anytime_dspy_files",
    _TABLES,
    sql.Column("name", sql.String(255), primary_key=True),
    sql.Column("lines", sql.Integer, nullable=False),
)
_LINES = sql.Table(
    "anytime_dspy_lines",
    _TABLES,
    sql.Column("file", sql.String(255), primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("content", sql.Text().with_variant(LONGTEXT(), "mysql", "mariadb"), nullable=False),
)
_LEASES = sql.Table(
    "anytime_dspy_leases",
    _TABLES,
    sql.Column("name", sql.String(255), primary_key=True),
    sql.Column("holder", sql.String(255), nullable=False),
    sql.Column("renewals", sql.Integer, nullable=False),
)


class DatabaseFolder:
    """A shared folder kept in a database, for processes on several hosts. Close it, or use it in a `with` block.

    Its files are used as those of a folder: `folder / "calls.jsonl"` is what a `LineLog` takes.

    Args:
        url: As for an Optuna storage, such as postgresql://user@host/database. The tables are made if need be.

    Attributes:
        url: The same, with the driver.
        engine: SQLAlchemy's.

    Raises:
        RunError: The database cannot be reached, written or read, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url, self.engine = _engine(url)
        self._seen: dict[str, tuple[Any, float]] = {}
        try:
            self._make_tables()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> DatabaseFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return str(self.url.render_as_string(hide_password=True))

    def __truediv__(self, name: str) -> DatabaseFile:
        return DatabaseFile(self, name)

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()

    @contextmanager
    def lease(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Holds a lease inside the block; it is renewed until the block ends, and expires if the process dies.

        A process that lives but cannot renew it, for want of a network, may lose it: work that others do meanwhile is
        done twice, and what was written first stays.

        Args:
            name: What the lease is on.
            wait: Whether to wait for another holder.

        Raises:
            Timeout: Somebody else has it, and waiting was not asked for.
            RunError: The database cannot be used.
        """
        holder = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        while not self._taken(name, holder):
            if not wait:
                raise Timeout(name)
            time.sleep(POLL)
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(name, holder, ended), name=f"lease {name}", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            self._release(name, holder)

    @contextmanager
    def connection(self) -> Iterator[sql.Connection]:
        """A transaction.

        Raises:
            RunError: The database cannot be used.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise self.refusal(error) from error

    def refusal(self, error: BaseException) -> RunError:
        """Returns a database error as a `RunError`."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        why = str(cause).strip().partition("\n")[0] or type(cause).__name__
        return RunError(f"the database {self} cannot be used: {why}; mend that, or choose another database")

    def _make_tables(self) -> None:
        for attempt in range(3):
            try:
                _TABLES.create_all(self.engine)
                return
            except SQLAlchemyError as error:  # such as two hosts that make them at the same time
                if attempt == 2:
                    raise self.refusal(error) from error
                time.sleep(random.uniform(0.05, 0.2))

    def _taken(self, name: str, holder: str) -> bool:
        """Takes a lease that nobody has, or that has run out; returns whether it could."""
        with self.connection() as connection:
            found = connection.execute(sql.select(_LEASES).where(_LEASES.c.name == name)).one_or_none()
            if found is not None:
                if not self._has_run_out(name, found):
                    return False
                # Of all who see that, one finds the row as it was.
                same = sql.and_(*(column == value for column, value in zip(_LEASES.c, found, strict=True)))
                taken = connection.execute(sql.update(_LEASES).where(same).values(holder=holder, renewals=0))
                if taken.rowcount:
                    logger.warning("Took over %s from %s, which has not renewed its lease", name, found.holder)
                return bool(taken.rowcount)
        try:
            with self.engine.begin() as connection:
                connection.execute(sql.insert(_LEASES).values(name=name, holder=holder, renewals=0))
        except IntegrityError:
            return False
        except SQLAlchemyError as error:
            raise self.refusal(error) from error
        return True

    def _has_run_out(self, name: str, found: Any) -> bool:
        now = time.monotonic()
        known, since = self._seen.get(name, (None, now))
        if known == found:
            return now - since >= LEASE
        self._seen[name] = (found, now)
        return False

    def _renew(self, name: str, holder: str, ended: threading.Event) -> None:
        held = sql.and_(_LEASES.c.name == name, _LEASES.c.holder == holder)
        while not ended.wait(LEASE / 10):
            try:
                with self.engine.begin() as connection:
                    renewed = connection.execute(
                        sql.update(_LEASES).where(held).values(renewals=_LEASES.c.renewals + 1)
                    )
            except SQLAlchemyError as error:
                logger.warning("The lease on %s could not be renewed: %s", name, self.refusal(error))
                continue
            if not renewed.rowcount:
                logger.warning("The lease on %s has run out, and somebody else took it over", name)
                return

    def _release(self, name: str, holder: str) -> None:
        self._seen.pop(name, None)
        try:
            with self.engine.begin() as connection:
                connection.execute(sql.delete(_LEASES).where(_LEASES.c.name == name, _LEASES.c.holder == holder))
        except SQLAlchemyError as error:  # it runs out by itself
            logger.warning("The lease on %s could not be given back: %s", name, self.refusal(error))


@dataclass(frozen=True)
class DatabaseFile:
    """A file of a `DatabaseFolder`, used as a `Path` is.

    Attributes:
        folder: Where it is.
        name: Its name there.
    """

    folder: DatabaseFolder
    name: str

    def __str__(self) -> str:
        return f"{self.name} in {self.folder}"

    def with_name(self, name: str) -> DatabaseFile:
        """Returns another file of the folder."""
        return replace(self, name=name)

    def lines(self, read: Callable[[int, bytes], Line]) -> DatabaseLines[Line]:
        """Returns its lines; see `DatabaseLines`."""
        return DatabaseLines(self, read)


class DatabaseLines(Generic[Line]):
    """The lines of a file in a database: what `SharedLines` is for one on disk.

    They have no gaps and are committed in the order of their numbers, since whoever adds one locks the file's row.

    Args:
        path: The file.
        read: Parses a line, given its number, counted from 1, and its content.
    """

    def __init__(self, path: DatabaseFile, read: Callable[[int, bytes], Line]) -> None:
        self.path = path
        self._read = read
        self.count = 0
        """Lines read so far."""
        self._lock = threading.Lock()
        self._connection: sql.Connection | None = None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Makes all that is done inside the block one transaction of one thread.

        Raises:
            RunError: The database cannot be used.
        """
        with self._lock, self.path.folder.connection() as connection:
            self._connection = connection
            try:
                if self.count == 0:  # whoever finds no line writes the first one, and only one may
                    self._lengthen(0)
                yield
            finally:
                self._connection = None

    def new_lines(self) -> list[Line]:
        """Returns the lines added since the last call, by this object or another process; needs `exclusive`."""
        added = self._connected.execute(
            sql.select(_LINES.c.number, _LINES.c.content)
            .where(_LINES.c.file == self.path.name, _LINES.c.number > self.count)
            .order_by(_LINES.c.number)
        )
        found = [self._read(number, content.encode()) for number, content in added]
        self.count += len(found)
        return found

    def append(self, line: str) -> None:
        """Appends a line, which ends in a line feed; needs `exclusive`, at whose end it is written."""
        self._lengthen(1)
        number = sql.select(_FILES.c.lines).where(_FILES.c.name == self.path.name)
        content = line.encode("utf-8", "replace").decode().rstrip("\n")  # models do write half surrogate pairs
        self._connected.execute(
            sql.insert(_LINES).values(file=self.path.name, number=number.scalar_subquery(), content=content)
        )

    @property
    def _connected(self) -> sql.Connection:
        assert self._connection is not None, "only inside `exclusive`"
        return self._connection

    def _lengthen(self, lines: int) -> None:
        """Adds to the number of lines, which locks the file until the transaction ends."""
        longer = sql.update(_FILES).where(_FILES.c.name == self.path.name).values(lines=_FILES.c.lines + lines)
        while not self._connected.execute(longer).rowcount:
            try:
                with self._connected.begin_nested():
                    self._connected.execute(sql.insert(_FILES).values(name=self.path.name, lines=0))
            except IntegrityError:  # another host was quicker
                continue


def _engine(url: str) -> tuple[sql.URL, sql.Engine]:
    """Raises `RunError` where the url is none, or its driver is not installed."""
    try:
        known = sql.make_url(url)
        if known.drivername in ("postgresql", "postgres"):  # by default SQLAlchemy 2.0 looks for an older driver
            known = known.set(drivername="postgresql+psycopg" if find_spec("psycopg") else "postgresql")
        # SQLite has one writer at a time, whom the others wait for.
        waiting = {"timeout": LEASE} if known.get_backend_name() == "sqlite" else {}
        engine = sql.create_engine(known, pool_pre_ping=True, connect_args=waiting)
    except (ArgumentError, NoSuchModuleError) as error:
        raise RunError(
            "the storage is no url of a database: give one as Optuna takes it, such as postgresql://user@host/database"
        ) from error
    except ImportError as error:
        raise RunError(
            f"{known.drivername} needs a driver ({error}): for PostgreSQL, pip install 'anytime-dspy[postgres]'"
        ) from error
    if engine.dialect.name == "postgresql":
        sql.event.listen(engine, "connect", _ends_silent_transactions)
    return known, engine


def _ends_silent_transactions(connection: Any, _record: object) -> None:
    """Has PostgreSQL end the transaction of a host that was cut off within one."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = {round(1000 * CUT_OFF)}")
    connection.commit()
