"""What is already mined, in one SQLite file beside the output: mining stops anywhere and goes on from there.

The commits still to visit, those visited, the tasks found and the counts change in the same transactions, so the file
is consistent whenever the process ends. It also keeps memory small: nothing here grows with the history but the file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gapo_trainer.errors import UserError

_SCHEMA = """
CREATE TABLE settings (text TEXT);
CREATE TABLE commits (id BLOB PRIMARY KEY, repo INT, time INT, visited INT) WITHOUT ROWID;
CREATE INDEX waiting ON commits (repo, time DESC, id) WHERE NOT visited;
CREATE TABLE cut (id BLOB, repo INT, PRIMARY KEY (id, repo)) WITHOUT ROWID;  -- who could not read all of a commit
CREATE TABLE tasks (
    key BLOB PRIMARY KEY,  -- what makes two tasks the same: prefix, region and target
    edit BLOB,  -- what makes two edits the same, wherever they stand
    repo INT, time INT, commit_id TEXT, number INT, row TEXT
);
CREATE INDEX in_order ON tasks (repo, time, commit_id, number);
CREATE TABLE learnt (edit BLOB PRIMARY KEY) WITHOUT ROWID;  -- those in train
CREATE TABLE counts (repo INT, what TEXT, number INT, PRIMARY KEY (repo, what)) WITHOUT ROWID;
"""
_COMMITS_PER_TRANSACTION = 200
_CUT_PER_PAGE = 1000


class Journal:
    """The file. Commits are told apart over all repositories: one that two of them share is mined once.

    A commit of which a repository lacks something is *cut*: another repository may take it over and visit it again.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]):
        """Open or create the file.

        Raises:
            UserError: it holds an unfinished mining of something else, is damaged, or another process has it open.
        """
        self.path = path
        self._uncommitted = 0
        try:
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None)
        except sqlite3.OperationalError as error:  # nothing to write to
            raise UserError(f"{path}: {_explained(error)}") from error
        try:
            self._open(json.dumps(settings, sort_keys=True))
        except (sqlite3.DatabaseError, UserError) as error:
            self._database.close()  # its lock would last as long as somebody looks at the error
            raise UserError(f"{path}: {_explained(error)}") from error

    def _open(self, settings: str) -> None:
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("BEGIN IMMEDIATE")
        if self._database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            for statement in _SCHEMA.split(";"):
                self._database.execute(statement)
            self._database.execute("INSERT INTO settings VALUES (?)", (settings,))
        if self._database.execute("SELECT text FROM settings").fetchone() != (settings,):
            raise UserError(
                "an unfinished mining of other repositories, revisions or settings; finish it with the command that "
                "began it, or remove the file to begin anew"
            )

    def add_commit(self, commit: bytes, repo: int, time: int) -> None:
        """Put a commit on the list of those to visit, unless it has ever been there."""
        self._database.execute("INSERT OR IGNORE INTO commits VALUES (?, ?, ?, 0)", (commit, repo, time))

    def next_commit(self, repo: int) -> bytes | None:
        """The latest commit of ``repo`` still to visit, or None."""
        row = self._database.execute(
            "SELECT id FROM commits WHERE repo = ? AND NOT visited ORDER BY time DESC, id LIMIT 1", (repo,)
        ).fetchone()
        return row[0] if row else None

    def take_over(self, repo: int, has: Callable[[bytes], bool]) -> bool:
        """Let ``repo`` visit those commits that are cut, that it has not visited itself and that it ``has``, if any."""
        taken, last = False, b""
        while page := self._database.execute(
            "SELECT DISTINCT id FROM cut WHERE id > ? AND NOT EXISTS "
            "(SELECT * FROM cut AS own WHERE own.id = cut.id AND own.repo = ?) ORDER BY id LIMIT ?",
            (last, repo, _CUT_PER_PAGE),
        ).fetchall():
            found = [(repo, commit) for (commit,) in page if has(commit)]
            self._database.executemany("UPDATE commits SET repo = ?, visited = 0 WHERE id = ?", found)
            taken, (last,) = taken or bool(found), page[-1]
        return taken

    def cut_in(self, commit: bytes) -> list[int]:
        """The repositories that could not read all of a commit."""
        return [repo for (repo,) in self._database.execute("SELECT repo FROM cut WHERE id = ?", (commit,))]

    @contextmanager
    def visit(self) -> Iterator[None]:
        """Around all that one commit changes here: it is kept together or not at all."""
        self._database.execute("SAVEPOINT visit")
        try:
            yield
        except BaseException:  # Ctrl-C too
            if self._database.in_transaction:  # on a full disk SQLite has taken back all since the last ``save``
                self._database.execute("ROLLBACK TO visit")
            raise
        self._database.execute("RELEASE visit")
        self._uncommitted += 1
        if self._uncommitted >= _COMMITS_PER_TRANSACTION:
            self.save()

    def finish_commit(self, commit: bytes, repo: int, cut: bool) -> None:
        """Mark a commit as visited by ``repo``, and as cut or not."""
        self._database.execute("UPDATE commits SET visited = 1 WHERE id = ?", (commit,))
        if cut:
            self._database.execute("INSERT INTO cut VALUES (?, ?)", (commit, repo))
        else:
            self._database.execute("DELETE FROM cut WHERE id = ?", (commit,))

    def add_task(self, key: bytes, edit: bytes, repo: int, number: int, row: Mapping[str, Any]) -> None:
        """Keep a task; of those with the same key the earliest stays, in whatever order they come."""
        self._database.execute(
            "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET repo = excluded.repo, "
            "time = excluded.time, commit_id = excluded.commit_id, number = excluded.number, row = excluded.row "
            "WHERE (excluded.time, excluded.commit_id, excluded.number) < (time, commit_id, number)",
            (key, edit, repo, row["time"], row["commit"], number, json.dumps(row)),
        )

    def count(self, repo: int, what: str, number: int = 1) -> None:
        """Add to one of the numbers of the summary."""
        self._database.execute(
            "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET number = number + excluded.number",
            (repo, what, number),
        )

    def counts(self, repo: int) -> dict[str, int]:
        """All numbers of a repository, sorted by name."""
        return dict(self._database.execute("SELECT what, number FROM counts WHERE repo = ? ORDER BY what", (repo,)))

    def latest_commits(self, repo: int, share: float) -> tuple[int, str] | None:
        """(time, id) of the earliest of the latest ``share`` of a repository's commits with tasks; None for no commit.

        At least one of two commits and at least one on the other side, unless ``share`` is 0.
        """
        commits = "SELECT DISTINCT time, commit_id FROM tasks WHERE repo = ?"
        total = self._database.execute(f"SELECT count(*) FROM ({commits})", (repo,)).fetchone()[0]
        wanted = min(max(1, round(total * share)), total - 1) if share > 0 else 0
        if wanted < 1:
            return None
        return self._database.execute(
            f"{commits} ORDER BY time DESC, commit_id DESC LIMIT 1 OFFSET ?", (repo, wanted - 1)
        ).fetchone()

    def learn(self, repo: int, before: tuple[int, str] | None) -> None:
        """Remember the edits of a repository as those of train, but for commits from (time, id) ``before`` on."""
        self._database.execute(
            "INSERT OR IGNORE INTO learnt SELECT edit FROM tasks "
            "WHERE repo = :repo AND (:time IS NULL OR (time, commit_id) < (:time, :commit))",
            {"repo": repo, **dict(zip(("time", "commit"), before or (None, None), strict=True))},
        )

    def tasks(self) -> Iterator[tuple[int, int, str, bool, dict[str, Any]]]:
        """All tasks as (repository, time, commit, whether its edit is learnt, row).

        They come by repository, time, commit and place in the commit.
        """
        for repo, time, commit, learnt, row in self._database.execute(
            "SELECT repo, time, commit_id, edit IN learnt, row FROM tasks ORDER BY repo, time, commit_id, number"
        ):
            yield repo, time, commit, bool(learnt), json.loads(row)

    def save(self) -> None:
        """Make sure that everything so far outlives the process."""
        self._database.execute("COMMIT")
        self._database.execute("BEGIN")
        self._uncommitted = 0

    def close(self, remove: bool = False) -> None:
        """Save and close the file, or ``remove`` it once its contents are written elsewhere."""
        with suppress(sqlite3.OperationalError):  # no transaction is open where opening has failed
            self._database.execute("COMMIT")
        self._database.close()
        if remove:
            self.path.unlink()


def _explained(error: Exception) -> str:
    if "locked" in str(error):
        return "another process is mining into it"
    if isinstance(error, sqlite3.DatabaseError) and ("no such" in str(error) or "not a database" in str(error)):
        return f"not the journal of an unfinished mining ({error}); remove it to begin anew"
    if "unable to open" in str(error):  # it never says why
        return f"expects a file in a folder that exists and can be written ({error})"
    return str(error)
