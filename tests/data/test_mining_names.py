"""What a repository is called in its tasks: enough to tell it apart, and nothing that is secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from histories import git, long_history, quietly, rows_of

from gapo_trainer.data.mining.miner import Options, mine
from gapo_trainer.data.mining.names import folder_names, repository_names
from gapo_trainer.data.mining.objects import open_repository


def test_names_come_from_hosted_remotes_without_their_secrets(tmp_path):
    history = long_history(tmp_path / "one", 1)
    git(history.folder, "remote", "add", "origin", "https://me:token@git.example.com/some/owner/name.git")
    out = tmp_path / "out.jsonl"
    mine([history.folder], out, Options(), quietly)
    assert {row["repo"] for row in rows_of(out)} == {"owner/name"}
    assert "token" not in out.read_text()


def names_of(tmp_path, urls):
    """What repositories with these remotes are called, in folders ``0``, ``1``, …"""
    for number, url in enumerate(urls):
        git(tmp_path, "init", "-q", str(number))
        config = tmp_path / str(number) / ".git" / "config"
        config.write_bytes(config.read_bytes() + f'[remote "origin"]\n\turl = "{url}"\n'.encode("latin-1"))
    paths = [tmp_path / str(number) for number in range(len(urls))]
    return repository_names([open_repository(path) for path in paths], paths)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h.io/o/n", "o/n"),
        ("HTTPS://GitHub.com/O/N.git/", "O/N"),
        ("https://h.io/o/n.git?private_token=hunter2", "o/n"),
        ("https://h.io/o/n#hunter2/x", "o/n"),
        ("https://me@corp.io:hunter2@h.io:8080/group/o/n.git", "o/n"),
        ("https://me:hun/ter2@h.io/o/n", "0"),
        ("https://me:80/ter2@h.io/o/n", "0"),
        ("https://me:hun#ter2@h.io/o/n", "0"),
        ("https://[2001:db8::1]:8080/o/n", "o/n"),
        ("ssh://git@[::1]/~me/n.git", "~me/n"),
        ("git@[::1]:o/n.git", "o/n"),
        ("git@h.io:o/n.git", "o/n"),
        ("github.com:o/n.git", "o/n"),
        ("me:hunter2@h.io:o/n.git", "0"),
        ("https://dev.azure.com/org/proj/_git/repo", "proj/repo"),
        ("git@ssh.dev.azure.com:v3/org/proj/repo", "proj/repo"),
        ("https://h.io/o/caf\xe9", "o/caf\ufffd"),
        ("https://h.io/n.git", "0"),
        ("C:/me/n", "0"),
        ("/me/a:b/n", "0"),
        ("FILE:///me/n", "0"),
        ("../me/n", "0"),
    ],
)
def test_the_name_in_an_address(tmp_path, url, expected):
    assert names_of(tmp_path, [url]) == [expected]


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("h.io/g1/sub/n", "h.io/g2/sub/n", "h.io/g2/sub/other"), ["g1/sub/n", "g2/sub/n", "sub/other"]),
        (("dev.azure.com/org/a/_git/n", "dev.azure.com/org/b/_git/n"), ["a/n", "b/n"]),
        (("h.io/o/n", "other.io/o/n"), ["h.io/o/n", "other.io/o/n"]),
        (("h.io/o/n", "H.io/o/n.git"), ["o/n", "o/n"]),  # clones of one
    ],
)
def test_hosted_repositories_of_one_name_are_told_apart(tmp_path, addresses, expected):
    assert names_of(tmp_path, [f"https://{address}" for address in addresses]) == expected


def test_an_address_need_not_be_utf8(tmp_path):
    history = long_history(tmp_path / "one", 1)
    config = history.folder / ".git" / "config"
    config.write_bytes(config.read_bytes() + b'[remote "origin"]\n\turl = https://h.io/o/caf\xe9\n')
    out = tmp_path / "out.jsonl"
    mine([history.folder], out, Options(), quietly)
    assert {row["repo"] for row in rows_of(out)} == {"o/caf\ufffd"}


def test_a_folder_within_a_repository_has_its_name(tmp_path):
    history = long_history(tmp_path / "one", 1)
    history.write(inner__a_py="")
    out = tmp_path / "out.jsonl"
    for path in (history.folder / "inner", history.folder / ".git"):
        mine([path], out, Options(), quietly)
        assert {row["repo"] for row in rows_of(out)} == {"one"}


def test_folders_of_one_name_are_told_apart(tmp_path):
    for number, owner in enumerate(("a", "b")):
        long_history(tmp_path / owner / "repo", 2 + number, word=owner)
    out = tmp_path / "out.jsonl"
    mine([tmp_path / "a" / "repo", tmp_path / "b" / "repo"], out, Options(held_out=("b/repo",)), quietly)
    assert {(row["repo"], row["split"] == "test_ood") for row in rows_of(out)} == {("a/repo", False), ("b/repo", True)}


def test_what_cannot_be_opened_is_told_apart_too(tmp_path):
    long_history(tmp_path / "a" / "repo", 1)
    (tmp_path / "b" / "repo").mkdir(parents=True)
    summaries = mine([tmp_path / "a" / "repo", tmp_path / "b" / "repo"], tmp_path / "out.jsonl", Options(), quietly)
    assert [summary.name for summary in summaries] == ["a/repo", "b/repo"]


def test_as_much_of_a_path_is_told_as_it_takes(tmp_path):
    expected = {
        "/a/x/repo": "a/x/repo", "/b/x/repo.git": "b/x/repo", "/b/y/repo": "y/repo", "/b/y/repo.git": "repo.git",
        "/b/y/other": "other", "/one": "one", "/data/one": "data/one", "/two.git": "two", "/": "",
    }  # fmt: skip
    assert folder_names([Path(path) for path in expected]) == {Path(path): name for path, name in expected.items()}


def test_a_folders_name_need_not_be_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"on\xff")
    long_history(folder, 1)
    out = tmp_path / "out.jsonl"
    mine([folder], out, Options(), quietly)
    assert {row["repo"] for row in rows_of(out)} == {"on\ufffd"}
