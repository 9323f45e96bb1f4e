"""supervisord's configuration, as its own parser reads it, and our client for its socket."""

import socket
import threading
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from orchestrator.errors import BadConfiguration
from orchestrator.paths import Paths
from orchestrator.supervisor import (
    NEVER_RESTARTED,
    Supervisor,
    configuration,
    raise_descriptor_limit,
)
from orchestrator.xmlrpc import Fault, Unreachable, call


@pytest.mark.parametrize(
    "name",
    ["plain", "50% %s %(here)s", "a b;c ;d #e", "quote'\"quote", "ünïcode", "[x]=y"],
)
def test_supervisord_reads_odd_paths_as_they_are(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parser gives a meaning to %, and to ; and # after a space."""
    paths = Paths(tmp_path / name / ".cluster", None)
    monkeypatch.setattr(paths, "sockets", paths.run)
    monkeypatch.setattr(paths, "supervisor_socket", paths.run / "supervisor.sock")
    paths.make()
    monkeypatch.setenv("RAFTCACHE_NODE_COMMAND", "'/py thon%d' -P -m raftcache.node")
    monkeypatch.setenv("RAFTCACHE_GATEWAY_COMMAND", "'/py thon%d' -P -m raftcache.gateway")
    paths.conf.write_text(configuration(paths, ["n1", "n2"], restart="on-crash"))

    options = ServerOptions()
    options.realize(["-c", str(paths.conf)])

    assert Path(options.logfile).resolve() == paths.supervisor_log.resolve()
    programs = [group.process_configs[0] for group in options.process_group_configs]
    assert [program.name for program in programs] == ["gateway", "n1", "n2"]
    for program in programs:
        kind = "gateway" if program.name == "gateway" else "node"
        assert program.command == f"'/py thon%d' -P -m raftcache.{kind} {program.name}.json"
        assert Path(program.directory).resolve() == paths.run.resolve()
        assert Path(program.stdout_logfile).resolve() == paths.log(program.name).resolve()
        assert program.autostart == (kind == "node"), "the gateway comes after the nodes"
        assert program.exitcodes == list(NEVER_RESTARTED)
    (server,) = options.server_configs
    assert Path(server["file"]).resolve() == paths.supervisor_socket.resolve()
    assert server["chmod"] == 0o700


def test_never_means_never(tmp_path: Path) -> None:
    text = configuration(Paths(tmp_path / ".cluster", None), ["n1"], restart="never")

    assert "autorestart=false" in text
    assert "startretries=0" in text


def test_a_node_is_only_ever_stopped_by_force(tmp_path: Path) -> None:
    """A process that supervisord itself stops is the only one it does not start again."""
    text = configuration(Paths(tmp_path / ".cluster", None), ["n1"], restart="on-crash")

    assert "stopsignal=KILL" in text.split("[program:gateway]")[0]
    assert "inet_http_server" not in text  # nobody commands it over TCP (failure G6)


def test_more_clients_than_this_host_has_file_descriptors_for_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = [(1024, 4096)]
    monkeypatch.setattr("resource.getrlimit", lambda _: limits[-1])
    monkeypatch.setattr("resource.setrlimit", lambda _, value: limits.append(value))

    raise_descriptor_limit(2000)
    assert limits[-1] == (2000, 4096)
    with pytest.raises(BadConfiguration, match="needs 5000 file descriptors") as caught:
        raise_descriptor_limit(5000)
    assert caught.value.hint.startswith("clients: 3840")


def test_a_supervisord_that_is_not_there_is_no_error_to_ask(tmp_path: Path) -> None:
    gone = Supervisor(Paths(tmp_path / ".cluster", None))

    assert not gone.is_running()
    assert gone.process() is None
    assert gone.children() == {}
    gone.shutdown()


def test_the_code_of_a_quick_exit_is_found_in_the_log(tmp_path: Path) -> None:
    """Supervisord forgets the code of a process that ended within its first second."""
    paths = Paths(tmp_path / ".cluster", None)
    paths.make()
    paths.supervisor_log.write_text(
        "INFO exited: n1 (exit status 1; not expected)\n"
        "WARN exited: n11 (exit status 5; not expected)\n"
        "WARN exited: n1 (exit status 78; not expected)\n"
    )

    assert Supervisor(paths).last_exit("n1") == 78
    assert Supervisor(paths).last_exit("n2") is None


ARRAY = """<?xml version='1.0'?><methodResponse><params><param><value><array><data>
<value><struct>
<member><name>name</name><value><string>n&lt;1&gt;</string></value></member>
<member><name>pid</name><value><int>-42</int></value></member>
<member><name>bare</name><value>no type</value></member>
<member><name>empty</name><value><string></string></value></member>
</struct></value>
<value><boolean>1</boolean></value>
<value><array><data></data></array></value>
</data></array></value></param></params></methodResponse>"""

FAULT = """<?xml version='1.0'?><methodResponse><fault><value><struct>
<member><name>faultCode</name><value><int>70</int></value></member>
<member><name>faultString</name><value><string>NOT_RUNNING: n1</string></value></member>
</struct></value></fault></methodResponse>"""


def answer(path: Path, reply: bytes) -> tuple[threading.Thread, list[bytes]]:
    """Serve one connection at ``path``; what was asked is put in the list."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    asked: list[bytes] = []

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(65_536))
                connection.sendall(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread, asked


def http(body: str) -> bytes:
    data = body.encode()
    return b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)


def test_an_answer_is_decoded_and_a_question_escaped(tmp_path: Path) -> None:
    path = tmp_path / "s"
    thread, asked = answer(path, http(ARRAY))

    found = call(str(path), "supervisor.startProcess", "<n&1>", True, 7)

    thread.join()
    assert found == [{"name": "n<1>", "pid": -42, "bare": "no type", "empty": ""}, 1, []]
    assert b"<methodName>supervisor.startProcess</methodName>" in asked[0]
    assert b"<string>&lt;n&amp;1&gt;</string>" in asked[0]
    assert b"<boolean>1</boolean>" in asked[0]
    assert b"<int>7</int>" in asked[0]


def test_a_fault_is_raised_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "s"
    thread, _ = answer(path, http(FAULT))

    with pytest.raises(Fault, match="NOT_RUNNING: n1") as caught:
        call(str(path), "supervisor.stopProcess", "n1")
    thread.join()
    assert caught.value.number == 70


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.0 500 Oops\r\n\r\n", http("<not xml"), b"nonsense"]
)
def test_an_answer_that_is_none_counts_as_unreachable(tmp_path: Path, reply: bytes) -> None:
    path = tmp_path / "s"
    thread, _ = answer(path, reply)

    with pytest.raises(Unreachable):
        call(str(path), "supervisor.getState")
    thread.join()


def test_nobody_there_counts_as_unreachable(tmp_path: Path) -> None:
    stale = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left_behind:
        left_behind.bind(str(stale))

    for path in (stale, tmp_path / "nowhere"):
        with pytest.raises(Unreachable):
            call(str(path), "supervisor.getState")
