"""A web page must not reach the gateway through its reader's browser."""

import pytest

from raftcache.gateway.answers import HttpError
from raftcache.gateway.door import Door

from .harness import Running

KEY = "/api/v1/key/k"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "[::1]"])
def test_every_name_of_this_host_is_served(gateway: Running, name: str) -> None:
    host = f"{name}:{gateway.port}"

    assert gateway.ask("PUT", KEY, b"v", Host=host).status in {201, 204}
    assert gateway.ask("PUT", KEY, b"v", Host=host, Origin=f"http://{host}").status == 204


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:PORT",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.evil.example:PORT",
        "127.0.0.1:PORT.evil.example",
        "user@127.0.0.1:PORT",
        "127.0.0.1:PORT,evil.example",
        "192.168.0.1:PORT",
        "",
    ],
)
def test_another_host_is_403(gateway: Running, host: str) -> None:
    """A name that resolves to 127.0.0.1 makes a browser think that the page is ours."""
    answer = gateway.ask("GET", KEY, Host=host.replace("PORT", str(gateway.port)))

    assert answer.status == 403
    assert answer.error[1] == "Forbidden"


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:PORT", "http://127.0.0.1", "", "file://"],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "OPTIONS"])
def test_another_origin_is_403_and_nothing_is_done(
    gateway: Running, method: str, origin: str
) -> None:
    target = f"{KEY}/value/v" if method == "POST" else KEY
    gateway.ask("PUT", KEY, b"before")

    answer = gateway.ask(method, target, b"", Origin=origin.replace("PORT", str(gateway.port)))

    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
    assert gateway.ask("GET", KEY).body == b"before\n"


def test_a_target_that_names_the_host_is_judged_by_it(gateway: Running) -> None:
    """The target outranks the Host header (RFC 9112, 3.2.2)."""
    here = f"http://127.0.0.1:{gateway.port}"

    assert gateway.ask("GET", f"{here}/healthz").status == 200
    assert gateway.ask("GET", "http://evil.example/healthz").status == 403
    assert gateway.ask("GET", f"{here}/healthz", Host="evil.example").status == 200


@pytest.mark.parametrize("target", ["*", "evil.example:80", "healthz"])
def test_other_forms_of_a_target_lead_nowhere(gateway: Running, target: str) -> None:
    assert gateway.ask("OPTIONS", target).status in {400, 404}


def test_the_port_may_be_left_out_only_where_it_is_http_s_own() -> None:
    Door("127.0.0.1", 80).check(["localhost"], ["http://localhost"])
    with pytest.raises(HttpError):
        Door("127.0.0.1", 8080).check(["localhost"], [])


def test_the_address_that_is_listened_at_is_a_name_too() -> None:
    Door("127.0.0.7", 8080).check(["127.0.0.7:8080"], [])
