"""The heartbeat asks again when an answer never comes."""

import rclpy
from prophrl_bringup.nodes import heartbeat_node
from rclpy.task import Future


class Client:
    """A service client whose answers come when the test says so."""

    def __init__(self):
        self.asked, self.removed = [], []

    def service_is_ready(self):
        return True

    def call_async(self, request):
        self.asked.append(Future())
        return self.asked[-1]

    def remove_pending_request(self, future):
        self.removed.append(future)


def test_a_lost_answer_is_asked_for_again_and_no_more_often_than_that(ros_domain, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(heartbeat_node.time, "monotonic", lambda: now[0])
    rclpy.init()
    try:
        node, client = heartbeat_node.HeartbeatNode(), Client()
        node.clients_by_name = {"arm_node": client}
        for _ in range(4):
            node.beat()
            now[0] += 1.0
        assert len(client.asked) == 2 and client.removed == client.asked[:1] and not node.answered
        client.asked[1].set_result(None)
        node.beat()
        assert "arm_node" in node.answered and len(client.asked) == 3
        node.destroy_node()
    finally:
        rclpy.shutdown()
