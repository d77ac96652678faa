"""ROS stamps as numbers: anything with ``sec`` and ``nanosec``, from rclpy or from a bag's reader. Wall time."""

HISTORY_AGE_S = 1.0


def seconds_of(stamp) -> float:
    """Seconds since the epoch."""
    return stamp.sec + stamp.nanosec * 1e-9


def nanoseconds_of(stamp) -> int:
    """Nanoseconds since the epoch, exact."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def is_history(stamp_s: float, received_s: float, running_s: float) -> bool:
    """Whether a latched event was made before its receiver began, ``running_s`` ago by a clock that never steps.

    ``stamp_s`` and ``received_s`` are of the wall clock, which may have been set back or forth since then.
    """
    return received_s - stamp_s > running_s + HISTORY_AGE_S
