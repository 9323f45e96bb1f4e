"""Reads at followers: the leader is asked for a read index, once per turn (thesis §6.4)."""

from raftcache.raft.core import Raft
from raftcache.raft.messages import Message, ReadIndex, ReadIndexResponse
from raftcache.raft.types import Index, Role, ServerId, Term

from .builders import OPTIONS, append, core, leader, of, only, persist, role, success, tick, turn
from .network import Network

Released = list[tuple[Index, list[object]]]


def following(*, term: Term = 2) -> Raft:
    """Return n2, which follows n1 and has its log, 1@1 and 2@2."""
    raft = core("n2", 1, 2, term=term)
    turn(raft, append("n1", "n2", term=term, prev=(2, 2), commit=2))
    return raft


def step(raft: Raft, *messages: Message) -> tuple[Released, list[Message]]:
    """Take messages in; return the reads released, and what is sent."""
    for message in messages:
        raft.step(message)
    ready = raft.ready()
    persist(raft, ready)
    return ready.reads_released, [*ready.messages, *ready.after_persist]


def asked(raft: Raft, *contexts: str) -> int:
    """Let reads come in, in one turn; return the number of the question about them."""
    for context in contexts:
        raft.read_index(context)
    question = only(step(raft)[1], ReadIndex)
    assert isinstance(question, ReadIndex)
    return question.number


def answer(number: int, index: Index, *, term: Term = 2) -> ReadIndexResponse:
    return ReadIndexResponse("n1", "n2", term, number, index)


def question(source: ServerId, number: int) -> ReadIndex:
    return ReadIndex(source, "n1", 2, number)


def test_one_question_is_about_all_reads_of_a_turn() -> None:
    raft = following()

    number = asked(raft, "a", "b")

    assert step(raft, answer(number, 7)) == ([(7, ["a", "b"])], [])
    assert step(raft, answer(number, 9)) == ([], []), "a copy of the answer releases nothing"


def test_an_answer_is_for_all_older_questions_too() -> None:
    """Their reads came in before this one was asked."""
    raft = following()
    first, second, third = asked(raft, "a"), asked(raft, "b"), asked(raft, "c")

    assert step(raft, answer(second, 7))[0] == [(7, ["a", "b"])]
    assert step(raft, answer(first, 3))[0] == []
    assert step(raft, answer(third, 8))[0] == [(8, ["c"])]


def test_an_answer_to_an_older_question_releases_no_newer_read() -> None:
    """Its index may be from before a write that the newer read must see (failure B3)."""
    raft = following()
    first = asked(raft, "a")
    asked(raft, "b")

    assert step(raft, answer(first, 7))[0] == [(7, ["a"])]
    assert step(raft, answer(first, 7))[0] == []


def test_an_answer_of_an_earlier_term_releases_nothing() -> None:
    """Who was asked may have been deposed since (failures B1, B3)."""
    raft = following()
    number = asked(raft, "a")
    raft.step(append("n3", "n2", term=3, prev=(2, 2)))
    assert raft.ready().reads_refused == ["a"]

    assert step(raft, answer(number, 7))[0] == []


def test_an_answer_to_a_former_life_releases_nothing() -> None:
    """The term is the same after a restart, and so are all names (failure B3)."""
    numbers = set()
    for seed in range(50):
        raft = following()
        raft.state.random.seed(seed)
        numbers.add(asked(raft, "a"))

    assert len(numbers) == 50
    raft = following()
    number = asked(raft, "a")
    assert step(raft, answer(number + 1, 7))[0] == []
    assert step(raft, answer(number - 1, 7))[0] == []


def test_a_lost_question_is_asked_again_under_another_number() -> None:
    raft = following()
    first = asked(raft, "a")

    sent = [of(tick(raft, 1), ReadIndex) for _ in range(OPTIONS.heartbeat_ticks)]

    assert sent[:-1] == [[]] * (OPTIONS.heartbeat_ticks - 1)
    (again,) = sent[-1]
    assert again.number == first + 1
    assert step(raft, answer(again.number, 7))[0] == [(7, ["a"])]
    assert of(tick(raft, OPTIONS.heartbeat_ticks), ReadIndex) == [], "all is answered"


def test_nothing_is_asked_while_no_leader_is_known() -> None:
    raft = core("n2", 1, 2, term=2)

    raft.read_index("a")
    assert step(raft) == ([], [])

    sent = turn(raft, append("n1", "n2", term=2, prev=(2, 2)))
    assert only(sent, ReadIndex).target == "n1"


def test_nothing_is_asked_in_a_term_that_is_not_on_disk() -> None:
    """What is said in a term is said once it can't be forgotten."""
    raft = core("n2", 1, 2, term=2)
    raft.step(append("n1", "n2", term=3, prev=(2, 2)))
    raft.read_index("a")

    ready = raft.ready()
    assert of(list(ready.messages), ReadIndex) == []
    persist(raft, ready)

    assert len(of(turn(raft), ReadIndex)) == 1


def test_a_leader_answers_with_what_a_majority_has_confirmed() -> None:
    """As for its own reads: after the question came in (failure B1)."""
    raft = leader(1, term=1)
    turn(raft, success("n2", term=2, match_index=2), success("n3", term=2, match_index=2))

    released, sent = step(raft, question("n2", 5), question("n3", 8), question("n2", 4))
    assert (released, of(sent, ReadIndexResponse)) == ([], [])

    released, sent = step(raft, success("n3", term=2, match_index=2, read_round=1))
    assert released == []
    assert of(sent, ReadIndexResponse) == [
        ReadIndexResponse("n1", "n2", 2, 5, 2),
        ReadIndexResponse("n1", "n3", 2, 8, 2),
    ]


def test_a_question_that_comes_during_a_round_waits_for_the_next() -> None:
    """The round's index was taken before it (thesis §6.4, step 2)."""
    raft = leader(1, term=1)
    turn(raft, success("n2", term=2, match_index=2), success("n3", term=2, match_index=2))
    step(raft, question("n2", 5))
    step(raft, question("n3", 8))

    _, sent = step(raft, success("n3", term=2, match_index=2, read_round=1))
    assert [one.target for one in of(sent, ReadIndexResponse)] == ["n2"]
    _, sent = step(raft, success("n3", term=2, match_index=2, read_round=2))
    assert [one.target for one in of(sent, ReadIndexResponse)] == ["n3"]


def test_a_leader_that_has_committed_nothing_of_its_term_does_not_answer() -> None:
    """It does not know yet what its predecessors committed (§8; failure B2)."""
    raft = leader(1, term=1)

    step(raft, question("n2", 5))
    _, sent = step(raft, success("n2", term=2, match_index=1, read_round=0))
    assert of(sent, ReadIndexResponse) == []

    step(raft, success("n2", term=2, match_index=2))
    _, sent = step(raft, success("n2", term=2, match_index=2, read_round=1))
    assert of(sent, ReadIndexResponse) == [ReadIndexResponse("n1", "n2", 2, 5, 2)]


def test_who_does_not_lead_says_so() -> None:
    raft = following()

    _, sent = step(raft, ReadIndex("n3", "n2", 2, 5))

    assert sent == [ReadIndexResponse("n2", "n3", 2, 5, read_index=0)]


def test_a_refused_read_is_handed_back() -> None:
    """It had no effect, so its caller may ask another."""
    raft = following()
    number = asked(raft, "a")

    raft.step(answer(number, 0))

    assert raft.ready().reads_refused == ["a"]


def test_a_candidate_that_wins_confirms_its_reads_itself() -> None:
    """Those that came in while it stood for election are not forgotten (failure B23)."""
    network = Network(3)
    name = network.elect()
    (other, *_) = (one for one in network.servers if one != name)
    network.crash(name)
    server = network.servers[other]
    server.work(lambda raft: raft.read_index("early"))
    network.run_until(lambda: role(server.raft) is not Role.FOLLOWER)
    server.work(lambda raft: raft.read_index("late"))
    network.run_until_leader()
    network.tick(20)

    contexts = [context for _, context in server.reads] + server.refused
    assert sorted(map(str, contexts)) == ["early", "late"]


def test_reads_at_followers_see_all_that_was_committed_before() -> None:
    """At each of them, in a cluster that is at work (thesis §6.4)."""
    network = Network(3)
    name = network.elect()
    for number in range(5):
        network.propose(name, b"%d" % number)
        network.settle()
        for other, server in network.servers.items():
            server.read(f"{other}-{number}")
        network.settle()

    assert [len(server.reads) for server in network.servers.values()] == [5, 5, 5]
