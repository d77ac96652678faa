"""ROS stamps as numbers: anything with ``sec`` and ``nanosec``, from rclpy or from a bag's reader. Wall time."""


def seconds_of(stamp) -> float:
    """Seconds since the epoch."""
    return stamp.sec + stamp.nanosec * 1e-9


def nanoseconds_of(stamp) -> int:
    """Nanoseconds since the epoch, exact."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec
