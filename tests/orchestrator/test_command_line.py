"""The command line without a cluster: help, refusals, exit codes, what goes where."""

import json
from pathlib import Path

import pytest

from orchestrator.cli import main, recognise
from orchestrator.cli.console import printable
from orchestrator.cli.verbs import ENTRIES
from raftcache.storage import segment, snapshot_format

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No cluster.yaml is anywhere near."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_goes_to_stdout_and_names_every_verb(arguments: list[str], capsys: Captured) -> None:
    assert main(arguments) == 0

    told = capsys.readouterr()
    assert told.err == ""
    for verb in ENTRIES:
        assert f"\n  {verb} " in told.out, verb
    assert max(len(line) for line in told.out.splitlines()) <= 80


def test_no_word_at_all_gets_the_help_page_as_an_error(capsys: Captured) -> None:
    assert main([]) == 64

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("usage: bin/cluster")


@pytest.mark.parametrize("verb", ENTRIES)
def test_every_verb_has_a_page_with_examples(verb: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])

    page = capsys.readouterr().out
    assert ended.value.code == 0
    assert page.startswith(f"usage: bin/cluster {verb}")
    assert f"bin/cluster {verb}" in page.partition("examples:")[2]
    assert max(len(line) for line in page.splitlines()) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "there is no verb 'frobnicate'"),
        (["statsu"], "there is no verb 'statsu'; did you mean 'status'?"),
        (["doctor"], "'doctor' comes later: finding leftovers of dead runs"),
        (["--file", "x"], "a verb is missing"),
        (["--frob", "up"], "unrecognized arguments: --frob"),
        (["isolate"], "the following arguments are required: NODES"),
        (["isolate", "n1", "--in", "--out"], "argument --out: not allowed with argument --in"),
        (["link", "n1"], "a link has two ends; 1 named here"),
        (["link", "n1", "n2"], "what shall be wrong with it? --drop, --delay,"),
        (["link", "n1", "n2", "--drop", "2"], "argument --drop: '2' is no chance; use 0 to 1"),
        (["link", "a", "b", "--drop", "1", "--type", "Vote"], "argument --type: no message is"),
        (["kill"], "the following arguments are required: NODES"),
        (["up", "--nodes", "0"], "argument --nodes: '0' is not a number from 1 to 25"),
        (["up", "--nodes", "x"], "argument --nodes: 'x' is not a number from 1 to 25"),
        (["up", "--wip"], "unrecognized arguments: --wip"),
        (["wait", "--timeout", "5"], "argument --timeout: 5 of what? Write 5ms or 5s"),
        (["incr", "a", "b"], "argument BY: 'b' is not a whole number of 64 bits"),
        (
            ["incr", "a", str(2**63)],
            f"argument BY: '{2**63}' is not a whole number of 64 bits",
        ),
        (["set", "a", "b", "--ttl", "30"], "argument --ttl: 30 of what? Write 30ms or 30s"),
        (
            ["set", "a", "b", "--ttl", "0s"],
            "argument --ttl: a key lives for a millisecond at least",
        ),
        (
            ["set", "a", "b", "--if-rev", "-1"],
            "argument --if-rev: '-1' is not a whole number from 0",
        ),
        (["keys", "--limit", "0"], "argument --limit: '0' is not a whole number from 1"),
    ],
)
def test_what_cant_be_understood_is_exit_code_64(
    arguments: list[str], message: str, capsys: Captured
) -> None:
    assert main(arguments) == 64

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"bin/cluster: {message}")


@pytest.mark.parametrize(
    "verb", ["up", "down", "status", "ps", "kill n1", "get a", "logs", "start"]
)
def test_without_a_cluster_yaml_every_verb_says_so(verb: str, capsys: Captured) -> None:
    assert main(verb.split()) == 69

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(
        "bin/cluster: there is no cluster.yaml here or in any folder above\n  go to"
    )


@pytest.mark.parametrize("verb", ["down", "status", "ps", "kill n1", "get a", "logs", "start"])
def test_before_the_first_up_every_verb_names_it(
    verb: str, empty_folder: Path, capsys: Captured
) -> None:
    (empty_folder / "cluster.yaml").write_text("nodes: 3\n")

    assert main(verb.split()) == 69

    assert capsys.readouterr().err == (
        "bin/cluster: there is no cluster here yet\n  bin/cluster up   makes one\n"
    )
    assert not (empty_folder / ".cluster").exists()


@pytest.mark.parametrize("arguments", [["--json", "status"], ["status", "--json"]])
def test_an_error_is_a_document_too(arguments: list[str], capsys: Captured) -> None:
    assert main(arguments) == 69

    told = capsys.readouterr()
    assert told.err == ""
    document = json.loads(told.out)
    assert document["schema"] == 1
    assert document["verb"] == "status"
    assert document["ok"] is False
    assert document["error"] == "no_cluster"
    assert document["exit_code"] == 69


def test_a_good_file_is_checked(empty_folder: Path, capsys: Captured) -> None:
    (empty_folder / "cluster.yaml").write_text("nodes: 4\n")

    assert main(["check"]) == 0

    told = capsys.readouterr()
    assert told.out == (
        "cluster.yaml is all right: cluster demo, 4 nodes on 127.0.0.1, clients from port 7401\n"
    )
    assert told.err.startswith("warning: cluster.yaml:1:8: nodes: 4 survive no more deaths")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"RAFTCWAL\x01\0\0\0" + bytes(500), "is a part of a node's log, which only that node"),
        (b"RAFTCSNP\x01\0\0\0" + bytes(500), "is a snapshot: all data of a cluster"),
        (b'{"identity": {"cluster_id": "x", "node_id": "n1"}}', "says whose a node's directory is"),
        (b"\x7fELF\0\0", "is no text"),
    ],
)
def test_a_file_of_another_kind_is_told_apart(
    content: bytes, told: str, empty_folder: Path, capsys: Captured
) -> None:
    path = empty_folder / "file"
    path.write_bytes(content)

    assert main(["check", str(path)]) == 78

    error = capsys.readouterr().err
    assert told in error
    assert "bin/cluster s" in error or "bin/cluster check" in error, "it says what to do"


def test_files_of_a_node_begin_as_they_are_recognised() -> None:
    assert segment._MAGIC == recognise._LOG
    assert snapshot_format._MAGIC == recognise._SNAPSHOT


def test_a_history_is_judged(empty_folder: Path, capsys: Captured) -> None:
    path = empty_folder / "history.jsonl"
    ok = b'"key": "k", "outcome": "ok", "call_ns": '
    lines = [
        b'{"schema": 1, "kind": "history"}\n',
        b'{"client": "a", "op": "set", "args": {"value": "v"}, ' + ok + b'1, "return_ns": 2}\n',
        b'{"client": "a", "op": "get", ' + ok + b'3, "return_ns": 4, "result": {"found": true, '
        b'"value": "v"}}\n',
    ]
    path.write_bytes(b"".join(lines))

    assert main(["check", str(path)]) == 0
    assert "2 operations on 1 keys fit one order" in capsys.readouterr().out

    path.write_bytes(b"".join(lines).replace(b'"value": "v"}}', b'"value": "w"}}'))

    assert main(["check", str(path)]) == 1
    assert "returned w, which nobody had ever tried to write" in capsys.readouterr().out


def test_a_bad_file_is_exit_code_78_and_nothing_is_made(
    empty_folder: Path, capsys: Captured
) -> None:
    (empty_folder / "cluster.yaml").write_text("nodes: 4\nnod: 1\n")

    assert main(["check"]) == 78
    assert main(["up"]) == 78
    assert main(["up", "--dry-run"]) == 78

    assert capsys.readouterr().err.count("cluster.yaml:2:1: unknown key `nod`") == 3
    assert not (empty_folder / ".cluster").exists()


def test_a_dry_run_makes_nothing(empty_folder: Path, capsys: Captured) -> None:
    (empty_folder / "cluster.yaml").write_text("base_port: auto\n")

    assert main(["up", "--dry-run", "--nodes", "2"]) == 0

    assert "would start a new cluster, 'demo', of 2 nodes" in capsys.readouterr().out
    assert not (empty_folder / ".cluster").exists()


def test_a_defect_is_one_line_and_a_file(
    empty_folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback reaches a user; whoever mends it finds it in the file."""

    def fail(_path: Path) -> None:
        raise ZeroDivisionError("a planted bug")

    monkeypatch.setattr("orchestrator.cli.check.read_spec", fail)
    monkeypatch.setattr("tempfile.tempdir", str(empty_folder))
    (empty_folder / "cluster.yaml").write_text("nodes: 3\n")

    assert main(["check"]) == 70

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "bin/cluster: a defect of our own (ZeroDivisionError: a planted bug)"
    place = Path(lines[1].removeprefix("  details: "))
    assert "in fail" in place.read_text()


def test_a_ctrl_c_is_exit_code_130(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("orchestrator.cli.run.run", interrupt)

    assert main(["status"]) == 130
    assert capsys.readouterr().err == "\n"


def test_bytes_that_would_steer_a_terminal_are_shown_instead() -> None:
    assert printable(b"a\x1b[31m\r\n\xff\xc3\xa4") == "a\\x1b[31m\\x0d\n\\xffä"
