"""Half-space trees (river) and robust random cut forests (rrcf) over exported events:

trees.py EVENTS SCORES SECONDS BUDGETS DEVELOPMENT

What an identity did in a window of SECONDS is one point. A point is scored before it is learned. The threshold of each budget is the least with
which the development part has no more alerts by host and day than that: the time of each host before it is judged, or, where
all of it is, the whole of the hosts named DEVELOPMENT (with commas). It is frozen before anything is judged."""

import math
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor

import numpy
import rrcf
from river import anomaly

from events import Scores, hosts

SEED = 20260302
DAY = 86_400 * 10**9
# Of a point's parts, what is taken for as much as there can be.
MOST = {"opened": 1e4, "others": 1e3, "new": 1e3, "sent": 1e9, "received": 1e9}
# Points after which scores mean something.
FIRST = 16


def points(events, seconds):
    """(end of the window, identity, parts between 0 and 1), in the order of time."""
    width = seconds * 10**9
    windows = defaultdict(lambda: defaultdict(lambda: {"opened": 0, "others": set(), "new": 0, "sent": 0, "received": 0}))
    seen = set()
    for of in events:
        window = windows[of["time"] // width][of["identity"]]
        other = (of["address"], of["port"], of["protocol"])
        window["opened"] += of["opened"]
        window["others"].add(other)
        if (of["identity"], other) not in seen:
            seen.add((of["identity"], other))
            window["new"] += 1
        window["sent"] += of["sent"]
        window["received"] += of["received"]
    for at in sorted(windows):
        for identity in sorted(windows[at]):
            of = windows[at][identity]
            of["others"] = len(of["others"])
            part = {name: min(1.0, math.log1p(of[name]) / math.log1p(most)) for name, most in MOST.items()}
            hour = (at * seconds % 86_400) / 86_400 * 2 * math.pi
            part["sine"], part["cosine"] = (1 + math.sin(hour)) / 2, (1 + math.cos(hour)) / 2
            yield (at + 1) * width, identity, part


class HalfSpaceTrees:
    NAME = "half-space trees"

    def __init__(self):
        self.model = anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=FIRST * 2, seed=SEED)

    def score(self, part):
        score = self.model.score_one(part)
        self.model.learn_one(part)
        return score


class RandomCutForest:
    NAME = "rrcf"
    TREES, SIZE = 20, 128

    def __init__(self):
        random = numpy.random.RandomState(SEED)
        self.trees = [rrcf.RCTree(random_state=random.randint(2**31)) for _ in range(self.TREES)]
        self.noise = random
        self.at = 0

    def score(self, part):
        # Points that are equal would be one, with the displacement of none.
        point = numpy.array(list(part.values())) + self.noise.uniform(0, 1e-6, len(part))
        total = 0.0
        for tree in self.trees:
            if len(tree.leaves) >= self.SIZE:
                tree.forget_point(self.at - self.SIZE)
            tree.insert_point(point, index=self.at)
            total += tree.codisp(self.at)
        self.at += 1
        return total / self.TREES


def scored(kind, of_host):
    """A host's points with their scores. Its first find an empty model, and have none."""
    model = kind()
    return [(end, identity, model.score(part)) for end, identity, part in of_host][FIRST:]


def main(events, scores, seconds, budgets, development):
    seconds, budgets = int(seconds), [float(of) for of in budgets.split(",")]
    development = {name for name in development.split(",") if name}
    kinds = [HalfSpaceTrees, RandomCutForest]
    with ProcessPoolExecutor() as pool:
        waiting = []
        for host, of_host in hosts(events):
            of_host = list(points(of_host, seconds))
            waiting.append((host, len(of_host), [pool.submit(scored, kind, of_host) for kind in kinds]))
        all_scores = {kind: [] for kind in kinds}
        for host, count, results in waiting:
            for kind, result in zip(kinds, results):
                all_scores[kind].append((host, result.result()))
            print(f"{host['host']}: {count} points", flush=True)
    to = Scores(scores)
    for kind, of_kind in all_scores.items():
        ordinary, days = [], 0.0
        for host, of_model in of_kind:
            until = host["judged_from"] if host["judged_from"] > host["begin"] else host["end"] + seconds * 10**9
            if host["judged_from"] > host["begin"] or host["host"] in development:
                ordinary += [score for end, _, score in of_model if end <= until]
                days += (until - host["begin"]) / DAY
        ordinary.sort(reverse=True)
        for budget in budgets:
            to.ran(kind.NAME, budget)
            if not ordinary:
                continue
            threshold = ordinary[min(int(budget * days), len(ordinary) - 1)]
            for host, of_model in of_kind:
                for end, identity, score in of_model:
                    if score > threshold and end >= host["judged_from"]:
                        to.alert(kind.NAME, budget, host["host"], min(end, host["end"]), identity)
    to.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
