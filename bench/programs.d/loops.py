# SPDX-License-Identifier: BSD-2-Clause
"""Loops of an interpreter: loops.py NAME SIZE does NAME's work SIZE times and prints a result."""
import heapq
import itertools
import json
import re
import sys


def nbody(steps):
    """Floating point in objects: five bodies that attract each other."""
    bodies = [[float(7 * i % 5), float(3 * i % 7), float(i), 0.01 * i, -0.02 * i, 0.0, 1.0 / (i + 1)]
              for i in range(5)]
    for _ in range(steps):
        for a, b in itertools.combinations(bodies, 2):
            d = [a[k] - b[k] for k in range(3)]
            pull = 0.001 / (sum(x * x for x in d) + 0.01) ** 1.5
            for k in range(3):
                a[k + 3] -= d[k] * b[6] * pull
                b[k + 3] += d[k] * a[6] * pull
        for body in bodies:
            for k in range(3):
                body[k] += 0.001 * body[k + 3]
    return [round(x, 9) for body in bodies for x in body]


def fannkuch(count):
    """Small integers in lists: how often prefixes of permutations of seven can be reversed."""
    most = total = 0
    for start in itertools.islice(itertools.cycle(itertools.permutations(range(7))), count):
        cards, flips = list(start), 0
        while cards[0]:
            top = cards[0] + 1
            cards[:top] = cards[top - 1::-1]
            flips += 1
        most = max(most, flips)
        total += flips
    return most, total


class Task:
    """One of those that the scheduler runs; each kind does something else with its parcels."""

    def __init__(self, number, rank):
        self.number, self.rank = number, rank
        self.inbox, self.done = [], 0

    def step(self, world):
        raise NotImplementedError


class Worker(Task):
    def step(self, world):
        if self.inbox:
            parcel = self.inbox.pop(0)
            parcel["sum"] = (parcel["sum"] * 31 + self.number) & 0xffffff
            world.send((self.number * 5 + parcel["sum"]) % len(world.tasks), parcel)
            self.done += 1


class Relay(Task):
    def step(self, world):
        while self.inbox:
            parcel = self.inbox.pop()
            parcel["hops"] += 1
            world.send((self.number + parcel["hops"]) % len(world.tasks), parcel)
            self.done += 1
            if parcel["hops"] % 3:
                break


class World:
    def __init__(self):
        self.tasks = [(Relay if i % 3 else Worker)(i, i * 7 % 5) for i in range(12)]
        self.queue = [(task.rank, task.number) for task in self.tasks]
        heapq.heapify(self.queue)
        for i in range(20):
            self.send(i % len(self.tasks), {"sum": i, "hops": 0})

    def send(self, number, parcel):
        self.tasks[number].inbox.append(parcel)

    def step(self):
        rank, number = heapq.heappop(self.queue)
        self.tasks[number].step(self)
        heapq.heappush(self.queue, (rank + 1 + self.tasks[number].rank, number))


def richards(steps):
    """Method calls and attributes: tasks of two kinds that send each other parcels."""
    world = World()
    for _ in range(steps):
        world.step()
    return [(task.done, len(task.inbox)) for task in world.tasks]


def json_loop(count):
    """Text from nested values, and back."""
    value = {f"key {i}": [i, i / 7, "text \u00e9 \"quoted\"" * (i % 4), None, {"deep": [True] * 5}]
             for i in range(100)}
    total = 0
    for i in range(count):
        value["turn"] = i
        text = json.dumps(value, sort_keys=True)
        value = json.loads(text)
        total += len(text)
    return total


def regex(count):
    """Patterns with groups, alternatives and repetition over lines of a log."""
    lines = [f"2026-11-{i % 28 + 1:02d} host{i % 7} app[{i * 37 % 9999}]: "
             f"{'GET' if i % 3 else 'PUT'} /a/b{i}/c?x={i * i} took {i * 13 % 997} ms" for i in range(200)]
    fields = re.compile(r"^(\d+)-(\d+)-(\d+) (\w+) (\w+)\[(\d+)\]: (GET|PUT|POST) (\S+) took (\d+) ms$")
    words = re.compile(r"(?:[a-z]+\d*)+/(?:b\d+|c)\b")
    total = 0
    for _ in range(count):
        for line in lines:
            total += int(fields.match(line)[9]) + len(words.findall(line))
            total += len(re.sub(r"\d", "#", line))
    return total


LOOPS = {"nbody": nbody, "fannkuch": fannkuch, "richards": richards, "json": json_loop,
         "regex": regex}
print(LOOPS[sys.argv[1]](int(sys.argv[2])))
