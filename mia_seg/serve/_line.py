"""A queue of requests for one worker, which takes several at once if the service allows batches."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from mia_seg.serve import Service
from mia_seg.serve._requests import Query, reply

GATHER, LOOK = 0.005, 0.0005  # seconds that a batch which is not full waits for others, and between two looks
Answer = tuple[bytes, dict[str, str]]  # body and headers


class Line:
    """First come, first served. Waiting requests of the same size are answered together, up to `Service.batch`."""

    def __init__(self, service: Service) -> None:
        self.service, self.waiting = service, dict[Future[Answer], Query]()  # in the order in which they came
        self.lock, self.worker = Lock(), ThreadPoolExecutor(1, thread_name_prefix="oracle")

    def put(self, query: Query) -> Future[Answer]:
        """Stand in line."""
        found = Future[Answer]()
        with self.lock:
            self.waiting[found] = query
        self.worker.submit(self._turn)
        return found

    def close(self) -> None:
        """End with what is being answered."""
        self.worker.shutdown(wait=True, cancel_futures=True)
        for found in self.waiting:
            found.cancel()

    def _turn(self) -> None:
        """Answer the first and who comes along; who has come along finds the line without itself."""
        self._gather()
        taken = [(query, found) for query, found in self._taken() if found.set_running_or_notify_cancel()]
        if not taken:
            return
        try:
            answers = self._answers([query for query, _ in taken])
        except Exception as error:  # theirs to tell: the worker goes on
            for _, found in taken:
                found.set_exception(error)
            return
        for (_, found), answer in zip(taken, answers, strict=True):
            found.set_result(answer)

    def _answers(self, queries: list[Query]) -> list[Answer]:
        named = {"model_name": self.service.name, "model_version": self.service.version}
        found = self.service.answers([query.image_HWC for query in queries], [query.key for query in queries])
        return [reply(query, answer, model=named) for query, answer in zip(queries, found, strict=True)]

    def _gather(self) -> None:
        until = time.monotonic() + GATHER
        while 0 < len(self.waiting) < self.service.batch and time.monotonic() < until:
            time.sleep(LOOK)

    def _taken(self) -> list[tuple[Query, Future[Answer]]]:
        with self.lock:
            if not self.waiting:
                return []
            sizes = {found: query.image_HWC.shape for found, query in self.waiting.items()}
            first = next(iter(sizes.values()))
            alike = [found for found, size in sizes.items() if size == first]
            return [(self.waiting.pop(found), found) for found in alike[: self.service.batch]]
