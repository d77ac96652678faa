"""Requests of the console's page to the cell's services, and their answers."""

from concurrent.futures import Future

from action_msgs.srv import CancelGoal
from rclpy.client import Client

from prophrl_cell.console.cell_link import Answer


def answered(ok: bool, line: str) -> "Future[Answer]":
    """An answer that is there already."""
    answer: Future[Answer] = Future()
    answer.set_result(Answer(ok, line))
    return answer


def call(client: Client, request, done_line: str) -> "Future[Answer]":
    """Ask a service; ``done_line`` where it agrees without a word. Not offered: an answer that says so, at once."""
    if not client.service_is_ready():
        name = client.srv_name.removesuffix("/_action/cancel_goal")
        return answered(False, f"{name} is not offered; is its node running?")
    answer: Future[Answer] = Future()

    def came(done) -> None:
        response = done.result()
        ok = getattr(response, "success", getattr(response, "return_code", 1) == CancelGoal.Response.ERROR_NONE)
        line = getattr(response, "message", "") or (done_line if ok else "refused without a reason")
        answer.set_result(Answer(ok, line))

    client.call_async(request).add_done_callback(came)
    return answer
