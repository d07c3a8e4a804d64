"""mia-seg: can someone who only sees a segmenter's predictions tell which images it was trained on?

recipe -> scenes -> train -> black box (+ defense) -> query -> answers -> attack -> scores -> metrics -> report
"""

__version__ = "0.1.0"
