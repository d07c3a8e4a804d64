"""The one error a user may see: a sentence that names what is wrong and how to mend it."""


class MiaSegError(Exception):
    """Raised at the edges (files, keys, values); the command line prints it and exits with code 2."""
