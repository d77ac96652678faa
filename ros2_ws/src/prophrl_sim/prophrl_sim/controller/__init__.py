"""The emulated UR controller: power and safety states, the control-script role, RTDE, dashboard, script ports."""
