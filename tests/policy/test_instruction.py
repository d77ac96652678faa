"""The hashed tokenizer is stable across machines and forgives case and punctuation."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prophrl_policy import instruction


def test_ids_are_stable():
    """Shipped weights depend on these numbers."""
    assert instruction.word_id("bottle") == 253 and instruction.word_id("cube") == 951
    np.testing.assert_array_equal(instruction.tokenize("Grasp the bottle."), instruction.tokenize("grasp  the bottle"))


@given(st.text())
def test_any_text_gives_ids_in_range(text):
    ids = instruction.tokenize(text)
    assert ids.shape == (instruction.LENGTH,) and ids.dtype == np.int64
    assert (0 <= ids).all() and (ids < instruction.BUCKETS).all()
    words = np.count_nonzero(ids)
    assert (ids[words:] == 0).all()


def test_words_of_the_tasks_do_not_collide():
    words = "grasp lift the bottle place cube on plate pull out tissue from box bowl in into pick up put and".split()
    assert len({instruction.word_id(word) for word in words}) == len(words)
