# SPDX-License-Identifier: BSD-2-Clause
"""What the benchmarks share: guests with a workload appended, runs of both machines, tables."""
import contextlib
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
APPEND = "console=ttyS0 quiet mitigations=off panic=-1"
MEMORY = "512M"
LIMIT_S = 900


def newc_entry(number, name, mode, data=b""):
    """One entry of a cpio archive in format newc."""
    encoded = name.encode() + b"\0"
    fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def guest_image():
    tool = ROOT / "tools/guest-image"
    subprocess.run([tool], check=True, stdout=sys.stderr)
    out = subprocess.run([tool, "--check"], check=True, capture_output=True, text=True)
    return [pathlib.Path(line) for line in out.stdout.split()]


class Worker:
    """A process that says what it measures in lines of BENCH. `ready` is where its workload begins,
    `next` where it waits for a line that says what to do."""

    def __init__(self, command, limit_s=LIMIT_S):
        self.results = {}  # {name: (seconds, work, *words)}, `boot` among them
        self.command = command
        self.start = time.monotonic()
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors)
        self.limit = threading.Timer(limit_s, self.process.kill)
        self.limit.start()
        try:
            self.read()
        except BaseException:
            self.close(kill=True)
            raise

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        if not failed:
            self.run("end")
        self.close(kill=failed)

    def close(self, kill):
        if kill:
            self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.limit.cancel()
        self.process.stdout.close()
        self.errors.close()

    def read(self):
        """Up to where it waits, or to its end."""
        last = b""
        for line in self.process.stdout:
            last = line.strip() or last
            words = line.split()
            if b"BENCH" not in words[:1]:
                continue
            name = words[1].decode()
            if name == "next":
                return
            if name == "ready":
                self.results["boot"] = (time.monotonic() - self.start, 1)
            else:
                self.results[name] = (int(words[2]) / 1e9, int(words[3]),
                                      *(word.decode() for word in words[4:]))
        if "boot" not in self.results:
            self.errors.seek(0)
            errors = self.errors.read().decode(errors="replace").strip()
            raise SystemExit(f"bench: {self.command[0]} did not reach the workload (status "
                             f"{self.process.wait()}): {errors or last.decode(errors='replace')}")

    def run(self, what):
        """What a process that has ended doesn't do is missing in its results."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{what}\n".encode())
            self.process.stdin.flush()
            self.read()


def measure(command):
    """What a process measures that is told nothing."""
    with Worker(command) as worker:
        return worker.results


def workload_archive(command, files):
    """A cpio archive to append to the default initrd: a command, and {name: path} beside it."""
    entries = [newc_entry(1, "alcazar", 0o40755),
               newc_entry(2, "alcazar/command", 0o100644,
                          b"".join(str(arg).encode() + b"\0" for arg in command))]
    for number, (name, path) in enumerate(files.items(), 3):
        entries.append(newc_entry(number, f"alcazar/{name}", 0o100755, path.read_bytes()))
    return b"".join([*entries, newc_entry(0, "TRAILER!!!", 0)])


def make_initrd(base, archive, path):
    data = base.read_bytes()
    path.write_bytes(data + b"\0" * (-len(data) % 4) + archive)


def add_arguments(parser, several_engines):
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--alcazar", help="the program (default: alcazar in the build folder)")
    if several_engines:
        parser.add_argument("--engine", action="append", metavar="ENGINE[:SWITCHES] [ARGUMENT ...]",
                            help="a contender; may be given several times (default: auto)")
    else:
        parser.add_argument("--engine", default="auto")
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    parser.add_argument("--qemu-cpu", default="qemu64")
    parser.add_argument("--json", type=pathlib.Path, help="also write all samples to this file")


def parse_args(parser, several_engines=False):
    """With several engines, args.engine is a list."""
    add_arguments(parser, several_engines)
    args = parser.parse_args()
    args.engine = args.engine or ["auto"]
    if args.quick:
        args.rounds = 1
    if args.alcazar is None:
        args.alcazar = str(args.build / "alcazar")
    return args


def alcazar_command(args, kernel, initrd, *more, engine=None):
    return [args.alcazar, "run", "--engine", engine or args.engine, "--memory", MEMORY,
            "--kernel", kernel, "--initrd", initrd, "--append", APPEND, *more]


def qemu_command(args, kernel, initrd, *more):
    return [args.qemu, "-accel", "tcg", "-M", "q35", "-cpu", args.qemu_cpu, "-m", MEMORY,
            "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
            "-kernel", kernel, "-initrd", initrd, "-append", APPEND, *more]


def runs(contenders, rounds):
    """Contenders in turns, and what each run measured."""
    for number in range(rounds):
        for contender, command in contenders.items():
            if sys.stderr.isatty():
                print(f"round {number + 1}/{rounds}: {contender}", file=sys.stderr)
            yield contender, measure(command)


def interleave(contenders, rounds):
    """{contender: {name: [seconds, ...]}}, contenders in turns."""
    samples = {name: {} for name in contenders}
    for contender, results in runs(contenders, rounds):
        for name, (seconds, *_) in results.items():
            samples[contender].setdefault(name, []).append(seconds)
    return samples


def summary(samples):
    """Median and spread (half the range, as a share of the median)."""
    median = statistics.median(samples)
    return median, (max(samples) - min(samples)) / 2 / median if median else 0.0


def text_of(samples):
    if not samples:
        return "-"
    median, spread = summary(samples)
    return f"{median * 1e3:.1f} ±{spread * 100:.0f}%"


def ratio_of(over, under):
    return f"{summary(over)[0] / summary(under)[0]:.2f}" if over and under else "-"
