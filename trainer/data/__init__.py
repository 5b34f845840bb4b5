"""Real code edits: mining them, loading them, showing them to a model, and scoring what it answers."""
