"""Who moves the arm: an operator's deadman comes before policy, replay and the arm's own moves.

Pure: times (s, monotonic) come in as arguments. Pressing takes control; releasing gives it back once the arm rests.
Silence only stops the arm: control stays with the operator until the device says that the deadman is up, or until
somebody else's word (home, resume, end of the episode), so that no policy takes over because a cable fell out.
"""


class Arbiter:
    """``teleop``: the operator has the arm. ``refuses`` tells whether others may have it."""

    def __init__(self, timeout: float):
        """``timeout`` (s): a command older than this moves nothing."""
        self._timeout = timeout
        self._pressed = self._usable = self._denied = self._told = False
        self._arrived = self._back_at = float("-inf")
        self.teleop = False

    def hear(self, deadman: bool, usable: bool, now: float) -> None:
        """A command arrived; one that is not ``usable`` stops the arm, but lets nobody else have it."""
        self._pressed, self._usable, self._arrived = deadman, usable, now
        if not deadman:
            self._denied = False

    def held(self, now: float) -> bool:
        """Whether the operator may move the arm at this moment."""
        fresh = now - self._arrived <= self._timeout
        return self._pressed and self._usable and fresh and not self._denied

    def deny(self) -> None:
        """What the operator does now must not move the arm before the deadman has been up once."""
        self._denied = True

    def decide(self, now: float, allowed: bool, resting: bool) -> bool:
        """Once per cycle; True when a press was just turned down.

        ``allowed``: the arm may move at all. ``resting``: its command stands still.
        """
        if not allowed:
            turned_down = self.held(now)
            if turned_down:
                self.deny()
            if self.teleop:
                self.give_back(now)
            return turned_down
        if self.held(now):
            if not self.teleop:
                self.teleop, self._told = True, False
        elif self.teleop and not self._pressed and resting:
            self.give_back(now)
        return False

    def give_back(self, now: float) -> None:
        """The operator's part is over; others may have the arm."""
        self.teleop, self._back_at = False, now

    def refuses(self, observed: float) -> bool:
        """Whether a chunk whose observation was taken at ``observed`` must not be executed."""
        return self.teleop or observed < self._back_at

    def tell(self) -> bool:
        """True once per intervention: for the one report that others' actions are refused."""
        told, self._told = self._told, True
        return not told
