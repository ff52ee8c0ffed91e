# SPDX-License-Identifier: BSD-2-Clause
"""What the tests that boot Linux look for in the kernel's log."""
import re

# The kernel's own words for trouble.
TROUBLE = [
    r"\bBUG\b", r"WARNING", r"Call Trace", r"Kernel panic", r"\bOops\b", r"general protection",
    r"double fault", r"soft lockup", r"rcu.*stall", r"NMI: IOCK", r"spurious",
    r"unchecked MSR", r"unhandled (rd|wr)msr", r"unknown NMI", r"do_IRQ:.*No irq",
    r"ACPI (BIOS )?(Error|Warning)", r"Spectre V2 : WARNING", r"nobody cared",
]

# Complaints about the clocks and the timer calibration, which a machine monitor gets wrong.
CLOCK_TROUBLE = [
    r"calibrat\w+ fail", r"unable to calibrate", r"TSC.*unstable", r"Marking TSC",
    r"clocksource: .*(skew|unstable|watchdog)", r"timer .*(not connected|doesn't work)",
]


def matching(log, pattern):
    """The lines of the log that have the pattern in them."""
    return [line for line in log.splitlines() if re.search(pattern, line)]
