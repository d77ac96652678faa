"""Subscriptions that their owner polls instead of being woken for every message."""

import contextlib

from rclpy.callback_groups import CallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription


class Polled(CallbackGroup):
    """Entities that the executor leaves alone: their owner takes from them when it likes."""

    def can_execute(self, entity) -> bool:
        return False

    def beginning_execution(self, entity) -> bool:
        return False

    def ending_execution(self, entity) -> None:
        """Nothing is ever executed."""


def subscribe_polled(
    node: Node, message_class, topic: str, qos: QoSProfile, group: Polled | None = None, raw: bool = False
) -> Subscription:
    """A subscription that keeps its messages, as many as ``qos`` is deep, until somebody takes them."""
    return node.create_subscription(message_class, topic, _never, qos, callback_group=group or Polled(), raw=raw)


def take(subscription: Subscription | None):
    """The message that has waited longest in a polled subscription (bytes where it is raw); None where none waits."""
    if subscription is None:
        return None
    with contextlib.suppress(InvalidHandle), subscription.handle:
        taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
        return taken[0] if taken else None
    return None


def _never(message) -> None:
    """Polled subscriptions have no callback."""
