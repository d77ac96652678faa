"""QoS of a topic as the recorder subscribes to it."""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from prophrl_cell.recorder.topics import RecordedTopic


def profile_of(topic: RecordedTopic) -> QoSProfile:
    """What ``topics`` says of it."""
    return QoSProfile(
        depth=topic.depth,
        reliability=ReliabilityPolicy.RELIABLE if topic.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if topic.transient else DurabilityPolicy.VOLATILE,
    )
