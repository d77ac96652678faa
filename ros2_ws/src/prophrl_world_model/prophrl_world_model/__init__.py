"""Prophet, the action-conditioned video world model: model, action frames, sampler, rollouts, metrics."""
