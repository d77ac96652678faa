"""Subscriptions that their owner polls instead of being woken for every message."""

from rclpy.callback_groups import CallbackGroup


class Polled(CallbackGroup):
    """Entities that the executor leaves alone: their owner takes from them when it likes."""

    def can_execute(self, entity) -> bool:
        return False

    def beginning_execution(self, entity) -> bool:
        return False

    def ending_execution(self, entity) -> None:
        """Nothing is ever executed."""
