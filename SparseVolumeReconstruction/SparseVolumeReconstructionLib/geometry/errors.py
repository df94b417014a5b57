"""The one error type for input that cannot be used."""


class InputError(ValueError):
    """Wrong input. The message is one line: what was wrong, what was expected, what to do."""
