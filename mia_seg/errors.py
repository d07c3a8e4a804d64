"""The one error a user may see: a sentence that names what is wrong and how to mend it."""


class MiaSegError(Exception):
    """Raised at the edges (files, keys, values); the command line prints it and exits with code 2."""


class AbsentData(MiaSegError):
    """A data set that does not lie below the data root at all: nothing there is at fault."""


class AbsentPart(MiaSegError):
    """A folder or list that a data set lacks: its archive was not extracted, and may not be needed."""


class TooFewScenes(MiaSegError):
    """A split that asks for more scenes than lie on the disk."""


class Unwritable(MiaSegError):
    """The store or the reports take no more: nothing else can be kept either."""


class Stopped(MiaSegError):
    """A scheduler asked to stop: what can be resumed is saved."""
