# SPDX-License-Identifier: BSD-2-Clause
"""What bench/programs compresses and compiles: the same bytes each time."""
import random


def text(size):
    """Words, some far more frequent than others, with numbers and some bytes that are just noise."""
    dice = random.Random(1)
    syllables = [a + b for a in "bcdfglmnprst" for b in ("a", "e", "i", "o", "an", "er", "it", "on")]
    words = ["".join(dice.choices(syllables, k=dice.randint(1, 4))) for _ in range(8000)]
    weights = [1 / (rank + 5) for rank in range(len(words))]
    parts, length = [], 0
    while length < size:
        line = dice.choices(words, weights, k=400)
        line[100], line[300] = str(dice.getrandbits(60)), f"{dice.random():.6f}\n"
        part = " ".join(line).encode() + dice.randbytes(64)
        parts.append(part)
        length += len(part)
    return b"".join(parts)[:size]


class Program:
    """C functions, each of which calls some of those before it."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.lines = ["struct node { struct node *next; unsigned long key; int rank; double w; };",
                      "static unsigned long table[256];"]
        self.functions = 0

    def value(self, depth=0):
        if depth == 3 or self.dice.random() < 0.25:
            return self.dice.choice(["a", "b", "c", "x", "(unsigned long)n->rank", "n->key",
                                     "table[x & 255]", f"{self.dice.randint(1, 70000)}ul"])
        left, right = self.value(depth + 1), self.value(depth + 1)
        operator = self.dice.choice(["+", "-", "*", "^", "&", "|", "+", ">>", "<<", "/", "%", "<"])
        if operator in "<<>>" and operator != "<":
            right = str(self.dice.randint(1, 31))
        elif operator in "/%":
            right = f"({right} | 1)"
        return f"({left} {operator} {right})"

    def call(self):
        if not self.functions:
            return "x"
        return f"f{self.dice.randrange(max(0, self.functions - 40), self.functions)}(n, a, x)"

    def statement(self, depth=0):
        indent = "\t" * (depth + 1)
        kind = self.dice.choice(["set", "set", "set", "if", "for", "switch", "store", "call", "list",
                                 "float"] if depth < 2 else ["set", "store", "float"])
        add = self.lines.append
        if kind == "set":
            add(f"{indent}{self.dice.choice('abcx')} = {self.value()};")
        elif kind == "store":
            add(f"{indent}table[{self.dice.choice('abcx')} & 255] += {self.value()};")
        elif kind == "float":
            add(f"{indent}n->w = n->w * 1.{self.dice.randint(1, 99)} + (double)(a & 1023);")
        elif kind == "call":
            add(f"{indent}x ^= {self.call()};")
        elif kind == "list":
            add(f"{indent}for (struct node *p = n; p && p->rank > (int)(b & 7); p = p->next)")
            add(f"{indent}\tx += p->key ^ (unsigned long)p->rank;")
        elif kind == "if":
            self.block(f"if ({self.value()} > {self.value()})", depth)
        elif kind == "for":
            self.block(f"for (unsigned long i{depth} = 0; i{depth} < (a & 15); i{depth}++)", depth)
        else:
            add(f"{indent}switch (x & 7) {{")
            for case in range(self.dice.randint(3, 7)):
                add(f"{indent}case {case}: c += {self.value(1)}; break;")
            add(f"{indent}default: b ^= {self.value(2)};")
            add(f"{indent}}}")

    def block(self, head, depth):
        indent = "\t" * (depth + 1)
        self.lines.append(f"{indent}{head} {{")
        for _ in range(self.dice.randint(1, 4)):
            self.statement(depth + 1)
        self.lines.append(f"{indent}}}")

    def function(self):
        static = "static " if self.dice.random() < 0.5 else ""
        self.lines += [f"{static}unsigned long f{self.functions}(struct node *n, unsigned long a, "
                       "unsigned long b)", "{", "\tunsigned long c = a ^ b, x = n->key;"]
        for _ in range(self.dice.randint(5, 15)):
            self.statement()
        self.lines += ["\treturn a + b + c + x;", "}", ""]
        self.functions += 1


def c_file(lines):
    program = Program(2)
    while len(program.lines) < lines:
        program.function()
    program.lines.append("unsigned long last(struct node *n) { return %s; }" % " + ".join(
        f"f{i}(n, {i}, 1)" for i in range(max(0, program.functions - 40), program.functions)))
    return "\n".join(program.lines).encode() + b"\n"
