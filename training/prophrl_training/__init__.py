"""The offline jobs: demonstrations to a policy bundle, and its evaluation."""
