#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Drives the command as a user would.

	cli_test.py ALCAZAR [quick|guest]

quick: what needs no guest image; its machines are a few bytes of code in an ELF file that this
program writes. guest: the default guest, from the cache; exits 77 if it is not there.
"""
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

ALCAZAR = ""
LONG = 120  # seconds until a hung test is one: no test waits for it
ESCAPE, CTRL_D = b"\x1d", b"\x04"


def multiboot(code):
    """A kernel: ELF32, one segment, multiboot header; starts in 32-bit protected mode."""
    load, start, magic = 0x100000, 0x80, 0x1BADB002
    size = start + len(code)
    elf = b"\x7fELF\1\1\1".ljust(16, b"\0")
    elf += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, load + start, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    elf += struct.pack("<IIIIIIII", 1, 0, load, load, size, size, 7, 0x1000)
    elf = elf.ljust(0x60, b"\0") + struct.pack("<III", magic, 0, -magic & 0xFFFFFFFF)
    return elf.ljust(start, b"\0") + code


POWEROFF = bytes.fromhex("66ba0406 66b80034 66ef ebfe")  # S5 to the ACPI PM control register
CODE = {
    "crash": b"\xcc",  # int3 without an IDT
    "loop": b"\xeb\xfe",
    # In 64-bit mode, identity-mapped: counts down from 1000, then powers off.
    "long": bytes.fromhex(
        "bf00002000 31c0 b9000c0000 fc f3ab"  # clear three tables at 0x200000
        "c7050000200003102000 c7050010200003202000 c7050020200083000000"  # one page of 2 MiB
        "0f20e0 83c820 0f22e0 b800002000 0f22d8"  # CR4.PAE, CR3
        "b9800000c0 0f32 80cc01 0f30 0f20c0 0d01000080 0f22c0"  # EFER.LME, CR0.PG
        "0f0115fb001000 eae30010000800"  # lgdt; ljmp to what follows
        "b9e8030000 4801c8 ffc9 75f9"  # mov ecx,1000; again: add rax,rcx; dec ecx; jnz again
        "66ba0406 66b80034 66ef ebfe"  # S5
        "0f0001011000 0000000000000000 0000000000 9b2000"
    ),
    "exit21": bytes.fromhex("b015 e6f4 ebfe"),
    "off": POWEROFF,
    "off9": bytes.fromhex("b009 e6f8") + POWEROFF,
    # A "+" when it runs; then echoes the first serial port until Ctrl-D.
    "echo": bytes.fromhex(
        "66bafb03 b003 ee"  # mov dx,3fb; mov al,3; out dx,al: eight bits
        "42 ee"  # inc edx; out dx,al: DTR and RTS
        "66baf803 b02b ee"  # mov dx,3f8; mov al,'+'; out
        "66bafd03 ec a801 74f7"  # wait: mov dx,3fd; in al,dx; test al,1; jz wait
        "66baf803 ec 3c04 7403"  # mov dx,3f8; in al,dx; cmp al,4; je done
        "ee ebeb"  # out dx,al; jmp wait
    )
    + POWEROFF,
    # A "+", with the power button's event enabled; powers off when it is pressed.
    "button": bytes.fromhex(
        "66ba0206 66b80001 66ef"  # outw 0x100, port 0x602
        "66bafb03 b003 ee 66baf803 b02b ee"  # eight bits; '+'
        "66ba0006 66ed f6c401 74f9"  # wait: inw port 0x600; test ah,1; jz wait
    )
    + POWEROFF,
    # A "+", with the event enabled, and no more.
    "deaf": bytes.fromhex("66ba0206 66b80001 66ef 66bafb03 b003 ee 66baf803 b02b ee ebfe"),
    # Floods the first serial port.
    "flood": bytes.fromhex("66bafb03 b003 ee 66baf803 b078 ee ebfd"),
}


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.dir = cls.folder.name
        for name, code in CODE.items():
            with open(os.path.join(cls.dir, name), "wb") as f:
                f.write(multiboot(code))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def path(self, name, content=None):
        path = os.path.join(self.dir, name)
        if content is not None:
            with open(path, "wb" if isinstance(content, bytes) else "w") as f:
                f.write(content)
        return path

    def run_it(self, *args, stdin=b"", env=None, check=None):
        done = subprocess.run(
            [ALCAZAR, *args],
            input=stdin,
            capture_output=True,
            timeout=LONG,
            env={**os.environ, **(env or {})},
        )
        if check is not None:
            self.assertEqual(done.returncode, check, (args, done.stderr))
        return done

    def kernel(self, name, *args, **more):
        return self.run_it("run", "--kernel", self.path(name), *args, **more)

    def one_line(self, status, says, *args, **more):
        """It fails with that status and exactly one line that says that."""
        done = self.run_it(*args, **more)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, status, (args, text))
        self.assertRegex(text, r"\Aalcazar: [^\n]+\n\Z", args)
        self.assertIn(says, text, args)
        self.assertEqual(done.stdout, b"")
        return text


class ExitStatus(Base):
    def test_power_off(self):
        self.assertEqual(self.kernel("off", check=0).stderr, b"")

    def test_status_that_the_guest_set(self):
        self.kernel("off9", check=9)

    def test_debug_exit(self):
        self.kernel("exit21", "--device", "isa-debug-exit", check=21 << 1 | 1)

    def test_crash(self):
        self.one_line(126, "triple fault", "run", "--kernel", self.path("crash"))

    def test_time_limit(self):
        self.one_line(124, "50ms", "run", "--kernel", self.path("loop"), "--timeout", "50ms")

    def test_time_limit_of_all_cpus(self):
        self.one_line(
            124, "--timeout", "run", "--kernel", self.path("loop"), "--timeout=50ms", "--cpus=3"
        )

    def test_time_limit_with_a_reader_who_does_not_read(self):
        reader, writer = os.pipe()
        done = subprocess.run(
            [ALCAZAR, "run", "--kernel", self.path("flood"), "--timeout", "200ms"],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=LONG,
        )
        os.close(reader)
        os.close(writer)
        self.assertEqual(done.returncode, 124)

    def test_reader_who_leaves(self):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [ALCAZAR, "run", "--kernel", self.path("echo")],
            input=b"abc",
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=LONG,
        )
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr), (0, b""))


class BadInput(Base):
    def test_usage(self):
        kernel = self.path("off")
        for says, args in [
            ("did you mean --memory?", ["run", "--memry", "1G"]),
            ("see `alcazar help run`", ["run", "--zzzzzzzzzz"]),
            ("no option -m", ["run", "-m", "1G"]),
            ("needs a value", ["run", "--memory"]),
            ("takes no value", ["run", "--print=yes"]),
            ("512M", ["run", "--memory", "1Q"]),
            ("512M", ["run", "--memory", "-1"]),
            ("512M", ["run", "--memory", " 1G"]),
            ("512M", ["run", "--memory", "99999999999999999999"]),
            ("512M", ["run", "--memory", "99999999T"]),
            ("at least 16 MiB", ["run", "--memory", "4M", "--kernel", kernel]),
            ("4096", ["run", "--memory", "33554433", "--kernel", kernel]),
            ("number of CPUs", ["run", "--cpus", "two"]),
            ("1 to 64", ["run", "--cpus", "0", "--kernel", kernel]),
            ("1 to 64", ["run", "--cpus", "65", "--kernel", kernel]),
            ("abacus", ["run", "--cpu", "abacus", "--kernel", kernel]),
            ("interp", ["run", "--engine", "steam", "--kernel", kernel]),
            ("--engine translate, not 'interp'", ["run", "--spectre", "--engine", "interp"]),
            ("--engine translate, not 'kvm,irqchip=split'",
             ["run", "--spectre", "--print", "--engine", "kvm,irqchip=split"]),
            ("not 'translated'", ["run", "--spectre", "--engine", "translated"]),
            ("windows=always can't be had",
             ["run", "--spectre", "--engine", "translate,windows=always", "--kernel", kernel]),
            ("does not count", ["run", "--clock", "virtual", "--engine", "kvm",
                                "--kernel", kernel]),
            ("quantum", ["run", "--clock", "virtual,quanta=5us", "--kernel", kernel]),
            ("2s, or end", ["run", "--clock", "virtual", "--state-hash", "soon"]),
            ("virtual clock", ["run", "--state-hash", "end", "--kernel", kernel]),
            ("sundial", ["run", "--clock", "sundial", "--kernel", kernel]),
            ("boots from disks", ["run", "--firmware", "x", "--kernel", kernel]),
            ("leave out --firmware", ["run", "--firmware", "x", "--", "true"]),
            ("png:FILE or text:FILE", ["run", "--display", "x", "--kernel", kernel]),
            ("file:PATH", ["run", "--device", "debugcon,chardev=x", "--kernel", kernel]),
            ("KEY=VALUE", ["run", "--disk", "null:1M,=1", "--kernel", kernel]),
            ("size", ["run", "--disk", "null:many", "--kernel", kernel]),
            ("is no disk", ["run", "--disk", "null:1M,device=rtc", "--kernel", kernel]),
            ("02:00:00:00:00:01", ["run", "--net", "null,mac=x", "--kernel", kernel]),
            ("needs a disk", ["run", "--device", "virtio-blk", "--kernel", kernel]),
            ("there is no network", ["run", "--net", "pigeon", "--kernel", kernel]),
            ("stdio, none or file:PATH", ["run", "--console", "tty"]),
            ("stdio, none or file:PATH", ["run", "--console", "file:", "--kernel", kernel]),
            ("500ms", ["run", "--timeout", "5", "--kernel", kernel]),
            ("500ms", ["run", "--timeout", "5 s", "--kernel", kernel]),
            ("more than no time", ["run", "--timeout", "0s", "--kernel", kernel]),
            ("isa-debug-exit?", ["run", "--device", "isa-debug-exi", "--kernel", kernel]),
            ("already", ["run", "--device", "rtc", "--kernel", kernel]),
            ("KEY=VALUE", ["run", "--device", "isa-debug-exit,x", "--kernel", kernel]),
            ("option 'x'", ["run", "--device", "isa-debug-exit,x=1", "--kernel", kernel]),
            ("needs a guest", ["run", "--kernel", kernel, "--", "true"]),
            ("a command to run", ["run", "--"]),
            ("does not belong", ["run", "a.yaml", "b.yaml"]),
            ("nothing after --", ["doctor", "--", "x"]),
            ("does not belong", ["doctor", "x"]),
            ("did you mean run?", ["rum"]),
            ("alcazar help", ["zzzzzz"]),
            ("alcazar help", []),
            ("did you mean devices?", ["help", "device"]),
            ("did you mean isa-debug-exit?", ["devices", "isa-debug-exi"]),
            ("bash", ["completion", "csh"]),
        ]:
            with self.subTest(args=args):
                self.one_line(2, says, *args)

    def test_images(self):
        self.path("empty", b"")
        self.path("junk", b"not a kernel at all" * 100)
        self.path("cut", multiboot(CODE["off"])[:0x70])
        self.path("big", b"\0" * (17 << 20))
        off = self.path("off")
        for says, args in [
            ("No such file", ["--kernel", self.path("missing")]),
            ("directory", ["--kernel", self.dir]),
            ("is empty", ["--kernel", self.path("empty")]),
            ("kernel", ["--kernel", self.path("junk")]),
            ("kernel", ["--kernel", self.path("cut")]),
            ("larger than", ["--kernel", self.path("big"), "--memory", "16M"]),
            ("initrd", ["--kernel", off, "--initrd", self.path("missing")]),
            ("larger than", ["--kernel", off, "--initrd", self.path("big"), "--memory", "16M"]),
            ("initrd", ["--kernel", off, "--initrd", self.path("big"), "--memory", "17M"]),
            ("console file", ["--kernel", off, "--console", "file:/nowhere/x"]),
            ("/nowhere/x", ["--kernel", off, "--stats", "/nowhere/x"]),
        ]:
            with self.subTest(args=args):
                self.one_line(125, says, "run", *args)

    def test_no_default_guest(self):
        self.one_line(125, "tools/guest-image", "run", env={"ALCAZAR_CACHE": self.dir})

    def test_not_enough_memory(self):
        # Less address space than the guest's memory takes.
        done = subprocess.run(
            ["sh", "-c", 'ulimit -v 1000000; exec "$0" "$@"', ALCAZAR, "run", "--memory", "2G"]
            + ["--kernel", self.path("off")],
            capture_output=True,
            timeout=LONG,
        )
        if b"Sanitizer" in done.stderr:
            self.skipTest("a sanitizer takes more address space than that")
        self.assertEqual(done.returncode, 125)
        self.assertRegex(done.stderr, rb"\Aalcazar: [^\n]*2048 MiB[^\n]*\n\Z")


class Descriptions(Base):
    def test_print_and_run(self):
        flags = ["--kernel", self.path("exit21"), "--device", "isa-debug-exit", "--memory", "32M"]
        flags += ["--append", "it's: a 'test' #1", "--timeout", "1h", "--cpus", "2"]
        first = self.run_it("run", "--print", *flags, check=0).stdout
        path = self.path("machine.yaml", first)
        self.assertEqual(self.run_it("run", "--print", path, check=0).stdout, first)
        self.run_it("run", path, check=43)

    def test_command_is_kept(self):
        args = ["sh", "-c", "echo '1' \"2\"; exit 3", "", "a: b"]
        first = self.run_it("run", "--print", "--", *args, check=0).stdout
        path = self.path("command.yaml", first)
        self.assertEqual(self.run_it("run", "--print", path, check=0).stdout, first)
        second = self.run_it("run", "--print", path, "--", "true", check=0).stdout
        self.assertIn(b"command:\n- true\n", second)
        self.assertNotIn(b"exit 3", second)

    def test_flags_override(self):
        path = self.path("m.yaml", "memory: 64M\ncpus: 2\ndevices:\n- pc-testdev\n")
        text = self.run_it(
            "run", path, "--memory", "32M", "--device", "isa-debug-exit", "--print", check=0
        ).stdout.decode()
        self.assertIn("memory: 32M\n", text)
        self.assertIn("cpus: 2\n", text)
        self.assertIn("- pc-testdev\n- isa-debug-exit\n", text)

    def test_spectre_is_an_option_of_the_engine(self):
        for says, args in [
            (b"engine: translate,spectre=yes\n", []),
            (b"engine: translate,spectre=yes\n", ["--engine", "translate"]),
            (b"engine: translate,off=pairs,spectre=yes\n", ["--engine", "translate,off=pairs"]),
        ]:
            text = self.run_it("run", "--print", "--spectre", *args, check=0).stdout
            self.assertIn(says, text)
        path = self.path("spectre.yaml", "engine: translate,threshold=0\n")
        text = self.run_it("run", "--print", path, "--spectre", check=0).stdout
        self.assertIn(b"engine: translate,threshold=0,spectre=yes\n", text)
        stats = self.path("stats.json")
        self.kernel("off9", "--spectre", "--stats", stats, check=9)
        with open(stats) as f:
            self.assertEqual(json.load(f)["engine"], "translate")

    def test_empty(self):
        whole = self.run_it("run", "--print", check=0).stdout
        self.assertEqual(self.run_it("run", "--print", self.path("e.yaml", ""), check=0).stdout, whole)

    def test_errors(self):
        for says, text in [
            (":2: there is no key 'memry' (did you mean memory?)", "cpus: 2\nmemry: 1G\n"),
            (":4: there is no key 'zzzzzzzz'", "# a\n\ncpus: 2\nzzzzzzzz: 1G\n"),
            (":3: the key 'cpus' is there twice", "cpus: 1\nmemory: 1G\ncpus: 2\n"),
            (":2: 'memory' can't", "cpus: 1\nmemory: [1, 2]\n"),
            (":1: 'devices' can't", "devices: pc-testdev\n"),
            ("near line", 'cpus: "1\n'),
            ("key: value", "- cpus\n"),
            ("--memory is a size", "memory: lots\n"),
        ]:
            with self.subTest(text=text):
                self.one_line(2, says, "run", self.path("bad.yaml", text))

    def test_examples(self):
        examples = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../examples")
        names = sorted(n for n in os.listdir(examples) if n.endswith(".yaml"))
        self.assertTrue(names)
        for name in names:
            self.run_it("run", "--print", os.path.join(examples, name), check=0)

    def test_unreadable(self):
        self.one_line(2, "No such file", "run", self.path("missing.yaml"))
        self.one_line(2, "directory", "run", self.dir)


class Listings(Base):
    def test_version(self):
        self.assertRegex(self.run_it("--version", check=0).stdout, rb"\Aalcazar \d+\.\d+\n\Z")

    def test_help(self):
        text = self.run_it("run", "--help", check=0).stdout.decode()
        self.assertEqual(self.run_it("help", "run", check=0).stdout.decode(), text)
        for name in ["engine", "cpus", "cpu", "memory", "clock", "kernel", "initrd", "append"]:
            self.assertIn("--" + name + " ", text)
        for command in re.findall(r"^  (\w+)", self.run_it("help", check=0).stdout.decode(), re.M):
            self.run_it("help", command, check=0)

    def test_devices(self):
        text = self.run_it("devices", check=0).stdout.decode()
        listed = json.loads(self.run_it("devices", "--json", check=0).stdout)
        for device in listed:
            self.assertIn(device["name"], text)
            one = json.loads(self.run_it("devices", device["name"], "--json", check=0).stdout)
            self.assertEqual(one, device)
            plain = self.run_it("devices", device["name"], check=0).stdout.decode()
            for option in device["options"]:
                self.assertIn(option["name"], plain)
        self.assertIn("isa-debug-exit", [d["name"] for d in listed if not d["platform"]])

    def test_doctor(self):
        text = self.run_it("doctor", check=0).stdout.decode()
        facts = json.loads(self.run_it("doctor", "--json", check=0).stdout)
        chosen = [e["name"] for e in facts["engines"] if e["chosen"]]
        self.assertEqual(len(chosen), 1)
        self.assertIn("takes %s." % chosen[0], text)
        self.assertIn("interp", [e["name"] for e in facts["engines"] if e["usable"]])

    def test_confinement(self):
        text = self.run_it("confinement", check=0).stdout.decode()
        reports = json.loads(self.run_it("confinement", "--json", check=0).stdout)
        self.assertEqual([r["process"] for r in reports], ["alcazar-net-user", "alcazar-net-hub"])
        for r in reports:
            self.assertIn("\n" + r["process"] + ": ", text)
            self.assertEqual((r["capabilities"], r["filesystem"]), ([], []))
            self.assertEqual(r["other_system_calls"], "kill")
            calls = {c["call"] for c in r["system_calls"] if c["verdict"] == "allow"}
            self.assertFalse(calls & {"open", "openat", "execve", "ptrace", "clone"})

    def test_stats(self):
        path = self.path("stats.json")
        self.kernel("off", "--stats", path, "--cpus", "2", check=0)
        with open(path) as f:
            stats = json.load(f)
        self.assertGreater(stats["instructions"], 0)
        self.assertEqual(len(stats["cpus"]), 2)
        self.assertEqual(stats["engine"], "translate")

    def test_windows_refused(self):
        for options in ("off=windows", "spectre=yes", "without=bmi2"):
            done = self.kernel("off", "--engine", f"translate,windows=always,{options}")
            self.assertEqual(done.returncode, 2, options)
            self.assertIn(b"windows=always can't be had", done.stderr, options)
        done = self.kernel("off", "--engine", "translate,windows=often")
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"auto, always or never", done.stderr)

    def test_translator_dump(self):
        done = self.kernel("long", "--engine", "translate,threshold=0,dump=1000e8", check=0)
        lines = [line.removeprefix("alcazar: ") for line in done.stderr.decode().splitlines()]
        self.assertRegex(lines[0], r"\Aregion of vCPU 0 from [0-9a-f]+: guest code\Z")
        self.assertEqual(sum(line.startswith("region") for line in lines), 1)
        middle = lines.index("host code")
        insn = [line.split(";")[0].split(None, 1) for line in lines if line.startswith("  ")]
        self.assertIn(["1000e8", "add rax, rcx"], [[a, b.strip()] for a, b in insn[:middle - 1]])
        self.assertIn("add rax, rcx", [b.strip() for _, b in insn[middle - 1:]])
        done = self.kernel("long", "--engine", "translate,threshold=0,dump=1000ff", check=0)
        self.assertEqual(done.stderr, b"")

    def test_translator_perf_map(self):
        engine = "translate,threshold=0,off=link+pairs,perf-map=yes"
        args = ["run", "--kernel", self.path("long"), "--engine", engine]
        with subprocess.Popen([ALCAZAR, *args], stdin=subprocess.DEVNULL) as running:
            path = "/tmp/perf-%d.map" % running.pid
            self.assertEqual(running.wait(LONG), 0)
        with open(path) as f:
            lines = f.read().splitlines()
        os.remove(path)
        for line in lines:
            self.assertRegex(line, r"\A[0-9a-f]+ [0-9a-f]+ guest_[0-9a-f]+\Z")
        self.assertTrue([line for line in lines if line.endswith(" guest_1000e3")], lines)

    def test_console_file(self):
        path = self.path("console.txt")
        self.kernel("flood", "--console", "file:" + path, "--timeout", "50ms", check=124)
        with open(path, "rb") as f:
            self.assertTrue(f.read().startswith(b"xxx"))

    def test_console_none(self):
        self.assertEqual(self.kernel("flood", "--console=none", "--timeout=50ms", check=124).stdout, b"")

    def test_completion(self):
        script = self.run_it("completion", "bash", check=0).stdout.decode()
        for words, expected in [
            (["alcazar", "r"], "run"),
            (["alcazar", "run", "--mem"], "--memory"),
            (["alcazar", "run", "--engine", "int"], "interp"),
            (["alcazar", "run", "--device", "isa"], "isa-debug-exit"),
            (["alcazar", "run", "--cpu", "def"], "default"),
            (["alcazar", "devices", "pc-"], "pc-testdev"),
        ]:
            ask = "COMP_WORDS=(%s) COMP_CWORD=%d; _alcazar; echo \"${COMPREPLY[*]}\"" % (
                " ".join(words),
                len(words) - 1,
            )
            done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True)
            self.assertEqual(done.stderr, "")
            self.assertIn(expected, done.stdout.split())


class Input(Base):
    def test_pipe_and_its_end(self):
        data = bytes(b for b in range(256) if b != 4) * 64
        self.assertEqual(self.kernel("echo", stdin=data, check=0).stdout, b"+" + data)

    def test_empty(self):
        self.assertEqual(self.kernel("echo", check=0).stdout, b"+")

    def test_escape_is_only_for_terminals(self):
        self.assertEqual(self.kernel("echo", stdin=ESCAPE, check=0).stdout, b"+" + ESCAPE)

    def test_signals_stop(self):
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            p = subprocess.Popen(
                [ALCAZAR, "run", "--kernel", self.path("echo")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            self.assertEqual(p.stdout.read(1), b"+")
            p.send_signal(sig)
            p.wait(timeout=LONG)  # its input stays open meanwhile: the guest gets no Ctrl-D
            _, err = p.communicate()
            self.assertEqual((p.returncode, err), (128 + sig, b""))


class Signals(Base):
    def start(self, name, *args, **more):
        p = subprocess.Popen(
            [ALCAZAR, "run", "--kernel", self.path(name), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )
        self.assertEqual(p.stdout.read(1), b"+")
        return p

    def finish(self, p, status):
        p.wait(timeout=LONG)
        out, err = p.communicate()
        self.assertEqual((p.returncode, err), (status, b""))
        return out

    def test_power_button(self):
        for sig in (signal.SIGTERM, signal.SIGINT):
            p = self.start("button")
            p.send_signal(sig)
            self.finish(p, 0)

    def test_hard_stop_of_a_guest_that_listens(self):
        p = self.start("button")
        p.send_signal(signal.SIGHUP)
        self.finish(p, 128 + signal.SIGHUP)

    def test_shutdown_timeout(self):
        p = self.start("deaf", "--shutdown-timeout", "10ms")
        p.send_signal(signal.SIGTERM)
        self.finish(p, 128 + signal.SIGTERM)

    def test_second_signal(self):
        p = self.start("deaf", "--shutdown-timeout=0s")
        p.send_signal(signal.SIGTERM)
        # Pending signals of one kind are one; of two kinds, both come.
        p.send_signal(signal.SIGINT)
        self.assertIn(p.wait(timeout=LONG), (128 + signal.SIGTERM, 128 + signal.SIGINT))
        p.communicate()

    def test_suspend(self):
        stats = self.path("stats.json")
        # In a process group with somebody to continue it: an orphaned one is not stopped.
        p = self.start("echo", "--stats", stats, preexec_fn=lambda: os.setpgid(0, 0))
        for _ in range(3):
            p.send_signal(signal.SIGTSTP)
            _, status = os.waitpid(p.pid, os.WUNTRACED)
            self.assertTrue(os.WIFSTOPPED(status))
            p.stdin.write(b"x")
            p.stdin.flush()
            p.send_signal(signal.SIGCONT)
            self.assertEqual(p.stdout.read(1), b"x")
        p.stdin.write(CTRL_D)
        p.stdin.flush()
        self.finish(p, 0)
        with open(stats) as f:
            self.assertEqual(json.load(f)["pauses"], 3)


class Terminal(Base):
    """On a terminal of its own, which must be afterwards as it was before."""

    def start(self, name, *args):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [ALCAZAR, "run", "--kernel", self.path(name), *args],
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def read_until(self, want):
        got = b""
        end = time.monotonic() + LONG
        while want not in got:
            ready, _, _ = select.select([self.master], [], [], end - time.monotonic())
            self.assertTrue(ready, got)
            got += os.read(self.master, 1024)
        return got

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def finish(self, status):
        _, err = self.process.communicate(timeout=LONG)
        after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        self.assertEqual(self.process.returncode, status, err)
        self.assertEqual(after, self.before)
        return err

    def test_typing(self):
        self.start("echo")
        self.read_until(b"+")
        self.assertTrue(self.is_raw())
        os.write(self.master, b"\x03ab")  # Ctrl-C goes to the guest
        self.read_until(b"\x03ab")
        os.write(self.master, CTRL_D)
        self.assertEqual(self.finish(0), b"")

    def test_escape(self):
        self.start("echo")
        self.read_until(b"+")
        os.write(self.master, b"ab" + ESCAPE)
        self.finish(0)

    def test_escape_from_a_guest_that_does_not_listen(self):
        self.start("flood")
        self.read_until(b"x")
        os.write(self.master, ESCAPE)
        self.finish(0)

    def test_errors(self):
        self.start("echo", "--device", "nothing")
        self.assertIn(b"nothing", self.finish(2))
        self.start("crash")
        self.assertIn(b"triple fault", self.finish(126))
        self.start("loop", "--timeout", "50ms")
        self.finish(124)

    def test_signals(self):
        ending = {s: 128 + s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)}
        dying = {s: -s for s in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)}
        for sig, status in {**ending, **dying}.items():
            with self.subTest(signal=sig):
                self.start("echo")
                self.read_until(b"+")
                self.assertTrue(self.is_raw())
                self.process.send_signal(sig)
                self.finish(status)


class Guest(Base):
    """Commands in the default guest."""

    def test_output_and_status(self):
        done = self.run_it("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=7)
        self.assertEqual(done.stdout, b"out\n")
        self.assertIn(b"err\n", done.stderr)

    def test_arguments_and_input(self):
        data = bytes(b for b in range(256) if b != 4) * 8
        self.assertEqual(self.run_it("run", "--", "cat", stdin=data, check=0).stdout, data)
        done = self.run_it("run", "--", "printf", "%s|", "a b", "", "$x", check=0)
        self.assertEqual(done.stdout, b"a b||$x|")

    def test_not_found(self):
        self.assertIn(b"not found", self.run_it("run", "--", "no-such-program", check=127).stderr)

    def test_shell(self):
        done = self.run_it("run", stdin=b"echo $((6 * 7))\n", check=0)
        self.assertIn(b"42", done.stdout)

    def test_panic(self):
        done = self.run_it("run", "--", "sh", "-c", "echo c >/proc/sysrq-trigger", check=126)
        self.assertIn(b"alcazar: ", done.stderr)


def guest_is_there():
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = os.environ.get("ALCAZAR_CACHE") or os.path.join(home, "alcazar")
    return all(os.path.exists(os.path.join(cache, "guest", f)) for f in ("vmlinuz", "initrd.img"))


def hear_signals():
    """A signal that is ignored here (nohup, a shell's background) would be by what is started."""
    for sig in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(sig, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main():
    global ALCAZAR
    hear_signals()
    ALCAZAR = os.path.abspath(sys.argv[1])
    which = sys.argv[2] if len(sys.argv) > 2 else "quick"
    if which == "guest" and not guest_is_there():
        print("SKIP: the default guest is not built: run tools/guest-image")
        return 77
    classes = [Guest] if which == "guest" else [
        ExitStatus, BadInput, Descriptions, Listings, Input, Terminal,
    ]
    loader = unittest.defaultTestLoader
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(c) for c in classes)
    return not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())
