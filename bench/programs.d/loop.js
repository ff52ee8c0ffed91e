// SPDX-License-Identifier: BSD-2-Clause
// loop.js SIZE: what a compiler of JavaScript makes fast, and what its runtime does.
'use strict';
const size = Number(process.argv[2]);

class Shape {
	constructor(a) { this.a = a; }
}
class Square extends Shape {
	area() { return this.a * this.a; }
}
class Circle extends Shape {
	area() { return this.a * this.a * 3.140625; }
}
class Stripe extends Shape {
	area() { return this.a; }
}

function integers(n) {
	let x = 1;
	for (let i = 0; i < n * 200; i++)
		x = (Math.imul(x, 1664525) + 1013904223 + (x >>> 7)) | 0;
	return x;
}

function shapes(n) {
	const kinds = [Square, Circle, Stripe], all = [];
	for (let i = 0; i < 300; i++)
		all.push(new kinds[i % 3](i));
	let sum = 0;
	for (let i = 0; i < n; i++)
		sum += all[i % all.length].area();
	return sum;
}

function sieve(n) {
	const composite = new Uint8Array(n + 1);
	let primes = 0;
	for (let i = 2; i <= n; i++) {
		if (composite[i])
			continue;
		primes++;
		for (let j = i * i; j <= n; j += i)
			composite[j] = 1;
	}
	return primes;
}

function strings(n) {
	const seen = new Map();
	for (let i = 0; i < n / 4; i++) {
		const key = 'k' + (i * 7919) % 5003;
		seen.set(key, (seen.get(key) || '') + i % 10);
	}
	return [...seen].map(([k, v]) => k.length * v.length).reduce((a, b) => a + b);
}

function text(n) {
	let value = { list: [] }, total = 0;
	for (let i = 0; i < 50; i++)
		value.list.push({ id: i, name: `name ${i}`, tags: ['x', 'y', i / 3] });
	for (let i = 0; i < n / 500; i++) {
		const s = JSON.stringify(value);
		total += s.replace(/\d+/g, '').length;
		value = JSON.parse(s);
	}
	return total;
}

for (const f of [integers, shapes, sieve, strings, text])
	console.log(f.name, f(size));
