#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`alcazar disk`: plans, results, listings, and what is wrong with them.

	disk_test.py ALCAZAR
"""
import csv
import glob
import json
import os
import pty
import random
import re
import shutil
import subprocess
import sys
import unittest

import cli_test

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "..", "..", "examples", "plans")
PLAN = """
disk: 1G
requests: 500
seeds: [1, 2]
schedulers: [noop, "capped = noop:max_sectors=[1,8]"]
models: ["linear", "quick = fixed:latency=1ms:depth=1"]
workloads: ["random:processes=4", "web = surge:files=20:processes=4"]
"""
CELLS = 2 * 3 * 2 * 2


class Experiment(cli_test.Base):
    def experiment(self, text, *args, **more):
        return self.run_it("disk", "experiment", self.path("plan.yaml", text), *args, **more)

    def test_formats_agree(self):
        out, more = self.path("out.json"), self.path("out.csv")
        done = self.experiment(PLAN, "--json", out, "--csv", more, check=0)
        self.assertEqual(done.stderr, b"")
        table = done.stdout.decode()
        with open(out, encoding="utf-8") as f:
            cells = json.load(f)["cells"]
        with open(more, encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f))
        self.assertEqual(len(cells), CELLS)
        self.assertEqual(len(rows), CELLS)
        for cell, row in zip(cells, rows):
            for key in ("workload", "model", "scheduler"):
                self.assertEqual(cell[key], row[key])
                self.assertIn(cell[key], table)
            self.assertAlmostEqual(cell["response_ms"], float(row["response_ms"]), 5)
            self.assertEqual(cell["requests"], 500)
            self.assertEqual(sum(n for _, n in cell["response"]["bins"]), 500)
            self.assertEqual(sum(i["requests"] for i in cell["issuers"]), 500)
        # One at a time and 1 ms each.
        quick = [c for c in cells if c["model"] == "quick" and c["workload"][0] == "r"]
        self.assertTrue(all(abs(c["service_ms"] - 1) < 1e-9 for c in quick))
        self.assertTrue(all(abs(c["requests_per_s"] - 1000) < 1 for c in quick))

    def test_jobs_change_nothing(self):
        one = self.experiment(PLAN, "--quiet", "--csv", "-", "--jobs", "1", check=0).stdout
        many = self.experiment(PLAN, "--quiet", "--csv", "-", "--jobs", "7", check=0).stdout
        self.assertEqual(one, many)
        self.assertEqual(one.count(b"\n"), CELLS + 1)

    def test_seeds_change_something(self):
        rows = list(csv.DictReader(
            self.experiment(PLAN, "--quiet", "--csv", "-", check=0).stdout.decode().splitlines()))
        linear = [r for r in rows if r["model"] == "linear"]
        for first, second in zip(linear[::2], linear[1::2]):
            self.assertNotEqual(first["response_ms"], second["response_ms"])

    def test_replay(self):
        trace = self.path("trace.csv", "arrival_ns,dispatch_ns,done_ns,op,sector,sectors,issuer,"
                                       "cached\n0,0,5,read,0,8,1,0\n7000000,0,5,write,64,8,2,0\n")
        text = (f"schedulers: [noop]\nmodels: ['fixed:latency=1ms']\n"
                f"workloads: ['r = replay:file={trace}:speed=[1,2]']\n")
        rows = list(csv.DictReader(
            self.experiment(text, "--quiet", "--csv", "-", check=0).stdout.decode().splitlines()))
        self.assertEqual([r["workload"] for r in rows], ["r speed=1", "r speed=2"])
        self.assertEqual([float(r["seconds"]) for r in rows], [0.008, 0.0045])
        self.assertEqual([(r["reads"], r["writes"]) for r in rows], [("1", "1")] * 2)

    def test_plan_errors(self):
        def plan(scheduler="noop", model="fixed", workload="random", more=""):
            return (f"schedulers: ['{scheduler}']\nmodels: ['{model}']\n"
                    f"workloads: ['{workload}']\n{more}")

        for text, says in [
            ("", "empty"),
            ("schedulers: [noop]\n", "needs 'models'"),
            ("a: [", "line"),
            (plan(more="speed: 3\n"), "speed"),
            (plan(scheduler="nop"), "did you mean 'noop'"),
            (plan(model="linear:seek=fast"), "'seek' is a time"),
            (plan(workload="surge:procesess=3"), "did you mean 'processes'"),
            (plan(workload="random:size=[4K,8K"), "a list of values"),
            (plan(workload="replay"), "needs a trace"),
            (plan(workload="replay:file=/nonexistent"), "/nonexistent"),
            (plan(more="requests: many\n"), "'requests' is a number"),
            (plan(more="requests: 0\n"), "has no end"),
            (plan(more="disk: 1\n"), "bytes of the disk"),
            (plan(more="seeds: [x]\n"), "'seed' is a number"),
        ]:
            path = self.path("bad.yaml", text)
            said = self.one_line(2, says, "disk", "experiment", path)
            self.assertNotIn("assert", said)
        self.one_line(2, "which plan", "disk", "experiment")
        self.one_line(2, "No such file", "disk", "experiment", "/nonexistent")
        path = self.path("plan.yaml", PLAN)
        self.one_line(2, "--jobs", "disk", "experiment", path, "--jobs", "0")
        self.one_line(125, "can't write", "disk", "experiment", path, "--quiet", "--csv",
                      "/nonexistent/x")

    def test_hopeless_cells(self):
        path = self.path("full.yaml", "disk: 1G\nschedulers: [noop]\nmodels: [fixed]\n"
                                      "workloads: ['surge:buffered=on:files=3:cache=1G:k2=1us']\n")
        self.one_line(125, "page cache", "disk", "experiment", path)

    def test_plots(self):
        folder = os.path.join(self.dir, "plots")
        args = ("--quiet", "--plots", folder)
        if not shutil.which("gnuplot"):
            path = self.path("plan.yaml", PLAN)
            self.one_line(125, "gnuplot-nox", "disk", "experiment", path, *args)
            return
        self.experiment(PLAN, *args, check=0)
        pictures = glob.glob(os.path.join(folder, "*.svg"))
        self.assertEqual(len(pictures), 4)
        for svg in pictures:
            with open(svg, encoding="utf-8") as f:
                self.assertIn("capped max_sectors=1", f.read())
            with open(svg[:-3] + "png", "rb") as f:
                self.assertEqual(f.read(8), b"\x89PNG\r\n\x1a\n")
        # Without gnuplot it says what to install.
        path = self.path("plan.yaml", PLAN)
        self.one_line(125, "gnuplot-nox", "disk", "experiment", path, *args,
                      env={"PATH": "/nonexistent"})

    def test_progress_is_for_terminals(self):
        path = self.path("plan.yaml", PLAN)
        ours, theirs = pty.openpty()
        done = subprocess.run([cli_test.ALCAZAR, "disk", "experiment", path, "--quiet"],
                              stderr=theirs, stdout=subprocess.PIPE, timeout=60)
        os.close(theirs)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"million requests", os.read(ours, 4096))
        os.close(ours)

    def test_examples(self):
        plans = glob.glob(os.path.join(EXAMPLES, "*.yaml"))
        self.assertTrue(plans)
        for path in plans:
            with open(path, encoding="utf-8") as f:
                text = re.sub(r"(?m)^requests:.*", "requests: 300", f.read())
            self.experiment(re.sub(r"(?m)^seeds:.*", "seeds: [1]", text), check=0)


class Calibration(cli_test.Base):
    def record(self, requests):
        """What a drive with R = 6 ms, S = 10 ms and 5 us a sector would have, and a few outliers."""
        dice = random.Random(1)
        size, head, now = 10**7, 0, 1000
        lines = ["arrival_ns,dispatch_ns,done_ns,op,sector,sectors,issuer,cached"]
        for n in range(requests):
            sectors = dice.choice([8, 64, 256])
            sector = dice.randrange(size - 256)
            took = 3000000 + abs(sector - head) * 10**7 // size + 5000 * sectors
            took += 40000000 if n % 50 == 0 else 0
            head = sector + sectors
            lines.append(f"{now},{now},{now + took},read,{sector},{sectors},0,0")
            now += took + 1000000
        return self.path("record.csv", "\n".join(lines) + "\n")

    def test_linear(self):
        path = self.record(1000)
        text = self.run_it("disk", "calibrate", path, check=0).stdout.decode()
        got = json.loads(self.run_it("disk", "calibrate", path, "--json", check=0).stdout)
        self.assertIn(got["model"], text)
        self.assertEqual(got["requests"], 1000)
        self.assertGreaterEqual(got["outliers"], 20)
        self.assertAlmostEqual(got["rotation_ms"], 6, delta=0.06)
        self.assertAlmostEqual(got["full_seek_ms"], 10, delta=0.1)
        self.assertLess(got["median_error_ms"], 0.1)
        # The model is one that an experiment takes.
        plan = self.path("plan.yaml", f"requests: 10\nschedulers: [noop]\n"
                                      f"models: ['{got['model']}']\nworkloads: [random]\n")
        self.run_it("disk", "experiment", plan, check=0)

    def test_errors(self):
        path = self.record(50)
        self.one_line(2, "50 requests", "disk", "calibrate", path)
        path = self.record(200)
        self.one_line(2, "'ssd'", "disk", "calibrate", path, "--model", "ssd")
        self.one_line(2, "the disk to 2048", "disk", "calibrate", path, "--disk", "1M")
        self.one_line(2, "--disk is a size", "disk", "calibrate", path, "--disk", "big")
        self.one_line(2, "--heads", "disk", "calibrate", path, "--heads", "0")
        self.one_line(2, "which trace", "disk", "calibrate")
        self.one_line(2, "no trace", "disk", "calibrate", self.path("x", "hello"))


class Listing(cli_test.Base):
    def test_list(self):
        text = self.run_it("disk", "list", check=0).stdout.decode()
        listed = json.loads(self.run_it("disk", "list", "--json", check=0).stdout)
        for kind in ("schedulers", "models", "workloads"):
            for part in listed[kind]:
                self.assertIn(part["name"], text)
                alone = self.run_it("disk", "list", part["name"], check=0).stdout.decode()
                for p in part["parameters"]:
                    self.assertIn(p["name"], alone)
                self.assertEqual(
                    json.loads(self.run_it("disk", "list", "--json", part["name"]).stdout), part)
        for preset in listed["presets"]:
            self.assertIn(preset["source"],
                          self.run_it("disk", "list", preset["name"], check=0).stdout.decode())
        self.one_line(2, "did you mean surge", "disk", "list", "serge")
        self.one_line(2, "alcazar disk list", "disk", "list", "wxyzwxyz")

    def test_every_default_is_allowed(self):
        """Each part with all its defaults written out is the part itself."""
        listed = json.loads(self.run_it("disk", "list", "--json", check=0).stdout)
        for kind in ("schedulers", "models", "workloads"):
            parts = {"schedulers": "noop", "models": "fixed", "workloads": "random:rate=100"}
            for part in listed[kind]:
                if part["name"] == "replay":
                    continue
                parts[kind] = ":".join([part["name"]] + [f"{p['name']}={p['default']}"
                                                         for p in part["parameters"]])
                path = self.path("all.yaml", "requests: 5\ndisk: 8G\n" + "".join(
                    f"{k}: ['{v}']\n" for k, v in parts.items()))
                self.run_it("disk", "experiment", path, "--quiet", check=0)

    def test_family(self):
        text = self.run_it("disk", "--help", check=0).stdout.decode()
        self.assertEqual(self.run_it("help", "disk", check=0).stdout.decode(), text)
        for verb in ("experiment", "calibrate", "list"):
            self.assertIn(verb, text)
            self.assertIn("usage: alcazar disk " + verb,
                          self.run_it("disk", verb, "--help", check=0).stdout.decode())
        self.one_line(2, "did you mean list", "disk", "lst")
        self.one_line(2, "say what to do", "disk")
        script = self.run_it("completion", "bash", check=0).stdout.decode()
        for words, expected in [("alcazar disk exp", "experiment"),
                                ("alcazar disk experiment --plo", "--plots")]:
            ask = "COMP_WORDS=(%s) COMP_CWORD=%d; _alcazar; echo \"${COMPREPLY[*]}\"" % (
                words, len(words.split()) - 1)
            done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True)
            self.assertEqual(done.stderr, "")
            self.assertIn(expected, done.stdout.split())


def main():
    cli_test.ALCAZAR = os.path.abspath(sys.argv[1])
    loader = unittest.defaultTestLoader
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(c) for c in (Experiment, Calibration, Listing))
    return not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())
