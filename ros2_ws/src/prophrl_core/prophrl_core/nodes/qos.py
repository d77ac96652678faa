"""QoS of the latched topics: who joins late hears what was said before. Both ends of a topic use the same."""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

_LATCHED = {"reliability": ReliabilityPolicy.RELIABLE, "durability": DurabilityPolicy.TRANSIENT_LOCAL}
LATEST = QoSProfile(depth=1, **_LATCHED)  # statuses
EVENTS = QoSProfile(depth=20, **_LATCHED)  # episode/event
