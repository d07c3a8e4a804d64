"""The one error a user may see: a sentence that names what is wrong and how to mend it."""


class MiaSegError(Exception):
    """Raised at the edges (files, keys, values); the command line prints it and exits with code 2."""


class AbsentData(MiaSegError):
    """No folder of the data set lies below the data root, so nothing there is wrong."""


class AbsentPart(MiaSegError):
    """A folder or list of a data set is missing: its archive was not extracted, and may not be needed."""


class AbsentPackage(MiaSegError):
    """A package that only some recipes need is not installed."""


class TooFewScenes(MiaSegError):
    """A split needs more scenes than are on the disk."""


class Unwritable(MiaSegError):
    """The store or the reports cannot be written (disk full, read-only), so the run ends."""


class Stopped(MiaSegError):
    """A scheduler asked the process to stop; the state to resume from is saved."""
