"""What was observed of a body, and the linear operators that say how a volume gives it."""
