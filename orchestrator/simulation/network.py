"""The links between the nodes: delay, loss, duplicates, disorder, and cuts of one direction each.

A link keeps its order unless the profile says otherwise, as a connection does. A frame is lost or
delivered whole. Only Raft's own messages are safe to repeat by design, but a node must cope with
any frame twice: the network does not look into them.
"""

from collections.abc import Callable
from random import Random

from .profile import Profile
from .record import Record
from .scheduler import Scheduler


class Network:
    """Carries frames between nodes, by their names.

    Args:
        scheduler: the time.
        seed: decides delays and faults, of each link by itself.
        profile: how likely they are.
        record: takes down what arrives and what does not.
        deliver: hands a frame to a node (source, target, data).
    """

    def __init__(
        self,
        scheduler: Scheduler,
        seed: str,
        profile: Profile,
        record: Record,
        deliver: Callable[[str, str, bytes], None],
    ) -> None:
        self.profile = profile
        self.cuts: set[tuple[str, str]] = set()
        self.blocks: Callable[[str, str, bytes], bool] | None = None
        """Says which frames (source, target, data) are lost; for directed tests."""
        self.delays: Callable[[str, bytes], int] | None = None
        """Says by how many microseconds a frame (target, data) takes longer than others."""
        self._scheduler = scheduler
        self._record = record
        self._seed = seed
        self._randoms: dict[tuple[str, str, bool], Random] = {}
        self._deliver = deliver
        self._last_us: dict[tuple[str, str, bool], int] = {}

    def send(self, source: str, target: str, data: bytes, *, bulk: bool = False) -> None:
        """Take a frame; whether and when it arrives is the network's business.

        ``bulk`` frames have a connection of their own: they keep their order among themselves.
        """
        link, profile = (source, target, bulk), self.profile
        random = self._randoms.get(link)
        if random is None:
            random = self._randoms[link] = Random(f"{self._seed}/{source}>{target}/{bulk}")
        loss = profile.loss + profile.bulk_loss if bulk else profile.loss
        if self._is_lost(source, target, data):
            return
        if loss and random.randrange(1000) < loss:
            self._record.fault("loss")
            return
        now_us = self._scheduler.now_us
        due_us = now_us + random.randint(*profile.delay_us)
        delayed_us = 0 if self.delays is None else self.delays(target, data)
        if delayed_us:
            self._record.fault("delay")
            due_us += delayed_us
        elif profile.reorder and random.randrange(1000) < profile.reorder:
            self._record.fault("reorder")
            due_us += random.randint(0, profile.late_us)
        else:
            due_us = max(due_us, self._last_us.get(link, 0))
            self._last_us[link] = due_us
        self._arrive(due_us - now_us, source, target, data)
        if profile.duplicate and random.randrange(1000) < profile.duplicate:
            self._record.fault("duplicate")
            late_us = random.randint(0, profile.late_us)
            self._arrive(due_us - now_us + late_us, source, target, data)

    def cut(self, source: str, target: str) -> None:
        """Let nothing pass from ``source`` to ``target``, not even what is on its way."""
        self.cuts.add((source, target))

    def mend(self, links: set[tuple[str, str]]) -> None:
        """Let these links carry again."""
        self.cuts -= links

    def isolate(self, name: str, others: list[str]) -> None:
        """Cut a node off from ``others``, both ways."""
        for other in others:
            if other != name:
                self.cuts |= {(name, other), (other, name)}

    def heal(self) -> None:
        """Mend all links."""
        self.cuts.clear()
        self.blocks = self.delays = None

    def _is_lost(self, source: str, target: str, data: bytes) -> bool:
        if (source, target) in self.cuts:
            return True
        return self.blocks is not None and self.blocks(source, target, data)

    def _arrive(self, delay_us: int, source: str, target: str, data: bytes) -> None:
        def arrive() -> None:
            if (source, target) in self.cuts:
                return
            self._deliver(source, target, data)

        self._scheduler.after(delay_us, arrive)
