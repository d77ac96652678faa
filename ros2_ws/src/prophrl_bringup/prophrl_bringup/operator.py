"""``prophrl operator WORD``: the words by which a person lets the arm go on, on machines without the ros2 command."""

import argparse
import time

from prophrl_core.errors import UserError

HELP = "an operator's word to the running cell: hold, unlock, resume, home, scene-ready, success, failure, discarded"

# Word -> (service, what it does)
TRIGGERS = {
    "hold": ("arm/hold", "brake the arm and wait"),
    "unlock": ("arm/unlock", "power on, release brakes, release a protective stop"),
    "resume": ("arm/resume", "the arm may move again"),
    "home": ("arm/home", "open the gripper and move home"),
    "scene-ready": ("session/scene_ready", "the scene is laid out, the trial may start"),
}
LABELS = ("success", "failure", "aborted", "discarded")
SERVICE_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    meanings = "; ".join(f"{word}: {meaning}" for word, (_, meaning) in TRIGGERS.items())
    parser.add_argument("word", choices=[*TRIGGERS, *LABELS], help=f"{meanings}; {', '.join(LABELS)}: label of the trial")
    parser.add_argument("--reason", default="", help="one line that is kept with a label")


def _call(service_type, name: str, request):
    """One service call; UserError when nobody serves it or nobody answers."""
    import rclpy

    rclpy.init()
    node = rclpy.create_node("prophrl_operator")
    try:
        client = node.create_client(service_type, name)
        if not client.wait_for_service(SERVICE_TIMEOUT_S):
            raise UserError(f"expected a running cell that serves {name}, found none in {SERVICE_TIMEOUT_S:.0f} s; is it up?")
        answer = client.call_async(request)
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while not answer.done() and time.monotonic() < deadline:
            rclpy.spin_once(node, timeout_sec=0.1)
        if not answer.done():
            raise UserError(f"{name}: expected an answer in {ANSWER_TIMEOUT_S:.0f} s, got none; see: prophrl doctor")
        return answer.result()
    finally:
        node.destroy_node()
        rclpy.shutdown()


def run(arguments: argparse.Namespace) -> int:
    """Say the word; 0 when it was taken, 1 when it was refused."""
    if arguments.word in TRIGGERS:
        from std_srvs.srv import Trigger

        name = TRIGGERS[arguments.word][0]
        answer = _call(Trigger, name, Trigger.Request())
    else:
        from prophrl_interfaces.srv import LabelEpisode

        name = "episode/label"
        answer = _call(LabelEpisode, name, LabelEpisode.Request(outcome=arguments.word, reason=arguments.reason))
    print(f"{name}: {answer.message}")
    return 0 if answer.success else 1
