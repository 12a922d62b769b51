"""Listening sockets: bound, refused, shared out, and kept over a change."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ajpd import listeners as module
from ajpd.config.model import ListenAddress
from ajpd.listeners import ListenError, Listeners, address_of, open_listener

ANY = ListenAddress(host="127.0.0.1", port=0)


def test_port_in_use() -> None:
    with open_listener(ANY) as first:
        port = first.getsockname()[1]
        address = ListenAddress(host="127.0.0.1", port=port)
        with pytest.raises(ListenError, match=f"another process uses port {port}; choose another"):
            open_listener(address)


def test_an_address_that_is_not_ours() -> None:
    # RFC 5737: never assigned to a machine.
    with pytest.raises(ListenError, match=r"192\.0\.2\.1 is not an address of this machine"):
        open_listener(ListenAddress(host="192.0.2.1", port=0))


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on nobody\.invalid:80: "):
        open_listener(ListenAddress(host="nobody.invalid", port=80))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may listen everywhere")
def test_a_port_that_is_not_allowed() -> None:
    with pytest.raises(ListenError, match="CAP_NET_BIND_SERVICE"):
        open_listener(ListenAddress(host="127.0.0.1", port=1))


def test_the_message_about_a_forbidden_port() -> None:
    words = module._explain(PermissionError(13, "Permission denied"), ANY)
    assert "ports below 1024 need root or CAP_NET_BIND_SERVICE" in words


def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "http"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
        old.listen()
    assert path.is_socket()
    with open_listener(ListenAddress(path=str(path))), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_file_in_use_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "http"
    address = ListenAddress(path=str(path))
    with open_listener(address), socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(ListenError, match="another process listens there"):
            open_listener(address)
        client.connect(str(path))


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ListenError, match="is no socket"):
        open_listener(ListenAddress(path=str(path)))
    assert path.read_text() == "data"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match=r"cannot listen on unix:.*No such file"):
        open_listener(ListenAddress(path=str(tmp_path / "no" / "http")))


# --- those of several processes -------------------------------------------------------------------


@pytest.fixture
def opened() -> Iterator[list[Listeners]]:
    """What a test puts here is closed."""
    made: list[Listeners] = []
    yield made
    for each in made:
        each.close_except(Listeners())


def ports(sockets: list[socket.socket]) -> set[int]:
    return {sock.getsockname()[1] for sock in sockets}


def test_each_process_has_a_socket_of_each_address(opened: list[Listeners]) -> None:
    made = Listeners().next([ANY, ANY], [ANY], [ANY], lanes=3)
    opened.append(made)
    made.listen()
    lanes = [made.of(lane) for lane in range(3)]
    for plain, tls, metrics in lanes:
        assert len(plain) == 2
        assert len(tls) == 1
        assert len(metrics) == 1
    # Four addresses, the same for all, and no socket twice.
    assert len({frozenset(ports(lane.all)) for lane in lanes}) == 1
    assert len(ports(made.sockets)) == 4
    assert len({id(sock) for sock in made.sockets}) == 12
    assert str(made).count("127.0.0.1:") == 4
    assert str(made).count("(TLS), 127.0.0.1:") == 1
    assert str(made).endswith("(metrics)")


def test_nothing_new_listens_before_it_is_told(opened: list[Listeners]) -> None:
    made = Listeners().next([ANY], [], lanes=1)
    opened.append(made)
    where = made.sockets[0].getsockname()
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(where)
    made.listen()
    with socket.create_connection(where):
        pass


def test_fewer_processes_serve_all_queues(opened: list[Listeners]) -> None:
    three = Listeners().next([ANY], [], lanes=3)
    opened.append(three)
    two = three.next([ANY], [], lanes=2)
    assert two.sockets == three.sockets
    assert [len(two.of(lane)[0]) for lane in range(2)] == [2, 1]
    assert two.of(0)[0] + two.of(1)[0] != []
    four = two.next([ANY], [], lanes=4)
    opened.append(four)
    assert four.sockets[:3] == three.sockets
    assert ports(four.sockets) == ports(three.sockets)


def test_what_stays_is_kept_and_the_rest_closed(tmp_path: Path, opened: list[Listeners]) -> None:
    stays = ListenAddress(path=str(tmp_path / "stays"))
    goes = ListenAddress(path=str(tmp_path / "goes"))
    old = Listeners().next([goes, stays], [], lanes=2)
    old.listen()
    # Which protocol is spoken there does not matter to the socket.
    new = old.next([ANY], [stays], lanes=2)
    opened.append(new)
    assert new.of(0)[1] == new.of(1)[1] == [old.sockets[1]]
    old.close_except(new)
    assert [sock.fileno() >= 0 for sock in old.sockets] == [False, True]
    assert sorted(os.listdir(tmp_path)) == ["stays"]


def test_a_failure_changes_nothing(tmp_path: Path, opened: list[Listeners]) -> None:
    old = Listeners().next([ANY], [], lanes=1)
    opened.append(old)
    with open_listener(ANY) as other:
        taken = ListenAddress(host="127.0.0.1", port=other.getsockname()[1])
        fine = ListenAddress(path=str(tmp_path / "fine"))
        with pytest.raises(ListenError, match="another process uses port") as caught:
            old.next([ANY, fine], [taken], lanes=4)
    assert caught.value.in_use
    assert os.listdir(tmp_path) == []
    assert old.sockets[0].fileno() >= 0


def test_another_program_with_reuseport_is_noticed(opened: list[Listeners]) -> None:
    """The kernel would let us share its port, and its clients."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = ListenAddress(host="127.0.0.1", port=other.getsockname()[1])
        with pytest.raises(ListenError, match="another process uses port"):
            Listeners().next([address], [], lanes=2)


def test_an_address_may_become_a_wider_one(opened: list[Listeners]) -> None:
    old = Listeners().next([ANY], [], lanes=1)
    opened.append(old)
    old.listen()
    (port,) = ports(old.sockets)
    fixed = ListenAddress(host="0.0.0.0", port=port)
    new = old.next([fixed], [], lanes=1)
    opened.append(new)
    new.listen()
    assert address_of(new.sockets[0]) == f"0.0.0.0:{port}"


def test_sockets_that_were_handed_over(opened: list[Listeners]) -> None:
    with open_listener(ANY) as first, open_listener(ANY) as second:
        named = {"web": (first.fileno(), second.fileno())}
        begin = Listeners(_named=named)
        made = begin.next([ListenAddress(fd="web")], [], lanes=2)
        opened.append(made)
        places = [first.getsockname(), second.getsockname()]
        assert [sock.getsockname() for sock in made.of(1)[0]] == places
        assert made.of(0) == made.of(1)
        # Taken out, and brought back.
        none = made.next([], [], lanes=2)
        made.close_except(none)
        again = none.next([ListenAddress(fd=str(first.fileno()))], [], lanes=2)
        opened.append(again)
        assert [sock.getsockname() for sock in again.sockets] == places[:1]
        assert str(again) == f"127.0.0.1:{places[0][1]}"


def test_what_cannot_be_handed_over() -> None:
    begin = Listeners(_named={"web": (99,), "tls": (98,)})
    with pytest.raises(ListenError, match="systemd gave fd:web, fd:tls"):
        begin.next([ListenAddress(fd="wed")], [], lanes=1)
    with socket.socket() as idle:
        idle.bind(("127.0.0.1", 0))
        number = idle.fileno()
        with pytest.raises(ListenError, match=f"descriptor {number} does not listen"):
            begin.next([ListenAddress(fd=str(number))], [], lanes=1)
    with pytest.raises(ListenError, match="descriptor 99999 is no socket"):
        begin.next([ListenAddress(fd="99999")], [], lanes=1)
