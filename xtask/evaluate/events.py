"""What `credwatch evaluate --export` writes, and what `--scores` reads back."""

import json


def destination(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def hosts(path):
    """Each host: its last line, and its events in the order of time."""
    events = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            of = json.loads(line)
            if "judged_from" in of:
                yield of, events
                events = []
            else:
                events.append(of)


class Scores:
    """Alerts of a detector; that it ran is told even where it found nothing."""

    def __init__(self, path):
        self.to = open(path, "w", encoding="utf-8")

    def ran(self, detector, budget):
        self._line(detector=detector, budget=budget, ran=True)

    def alert(self, detector, budget, host, time, identity, to=None):
        self._line(detector=detector, budget=budget, host=host, time=time, identity=identity, destination=to)

    def _line(self, **of):
        self.to.write(json.dumps(of, separators=(",", ":")) + "\n")

    def close(self):
        self.to.close()
