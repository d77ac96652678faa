"""The arm: one killable process speaks RTDE and moves; everything else talks to it through shared memory."""
