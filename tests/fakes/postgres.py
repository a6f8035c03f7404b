"""A PostgreSQL server of the tests' own, on a Unix socket in a temporary folder."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(9))
"""Where Debian keeps the server, which is not in the PATH."""


def missing() -> str | None:
    """Returns why no server can be started here, None where one can."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed: pip install 'anytime-dspy[postgres]'"
    if _binary("initdb") is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    if os.geteuid() == 0 and (not _exists("postgres") or shutil.which("runuser") is None):
        return "PostgreSQL does not run as root, and there is no user postgres to run it as"
    return None


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        folder: Where its socket and its data are.
    """

    folder: Path

    def url(self, database: str, user: str = "postgres") -> str:
        """Returns the url of a database."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def database(self) -> str:
        """Makes a database, and returns its url."""
        name = f"d{uuid.uuid4().hex[:8]}"
        self.execute("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, database: str, *statements: str) -> None:
        """Runs statements in a database, which may be given by its url."""
        import psycopg

        name = database.rpartition("/")[2] if "://" not in database else database.split("@/")[1].partition("?")[0]
        with psycopg.connect(host=str(self.folder), user="postgres", dbname=name, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def control(self, *arguments: str) -> None:
        """Runs pg_ctl, to stop it or to start it again."""
        log = self.folder / "log"
        _run("pg_ctl", "-D", str(self.folder / "data"), "-l", str(log), "-w", "-t", "60", *arguments)


@contextmanager
def server() -> Iterator[Server]:
    """Starts a server, and stops it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # the name of a socket has to be short
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    running = Server(folder)
    try:
        _run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
        settings = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off", "max_connections": 50}
        with (folder / "data" / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        running.control("start")
        try:
            yield running
        finally:
            running.control("stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(program: str, *arguments: str) -> None:
    binary = _binary(program)
    assert binary is not None
    command = [binary, *arguments]
    if os.geteuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    ran = subprocess.run(  # a server that was started would hold a pipe open
        command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=90
    )
    assert ran.returncode == 0, f"{' '.join(command)} as {getpass.getuser()} ended with {ran.returncode}"


def _binary(name: str) -> str | None:
    found = [str(path / name) for path in INSTALLED if (path / name).exists()]
    return found[-1] if found else shutil.which(name)


def _exists(user: str) -> bool:
    import pwd

    return any(entry.pw_name == user for entry in pwd.getpwall())
