"""What a session shows a person: a table, a page, a video and plots per trial."""
