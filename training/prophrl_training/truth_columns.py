"""Names of what simulated episodes know beside their pictures, in a dataset."""

TRUTH_OBJECTS = "truth.objects"  # position and two columns of the rotation of each object, base frame
TRUTH_CONTACT = "truth.contact"  # whether the gripper touches something, whether a contact stopped the arm
TRUTH_SUCCESS = "truth.success"  # whether the goal has been held by then
CAMERA_FACT = "camera_json"  # of an episode: width, height, fx, fy, cx, cy and T_base_camera of its pictures
