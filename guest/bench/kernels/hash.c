/* SPDX-License-Identifier: BSD-2-Clause */
/* A hash table, and sums over a message. */
#include "kernels.h"

enum { SLOTS = 16384, KEYS = 8192, MESSAGE_BYTES = 4096, SHA_BLOCK = 64, SHA_ROUNDS = 64 };

struct slot {
	uint64_t key; /* 0: free */
	uint64_t uses;
};

static struct slot slots[SLOTS];
static uint32_t crc_of_byte[256];
static uint8_t message[MESSAGE_BYTES];

static uint32_t home_of(uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 50) % SLOTS;
}

/* Open addressing, linear probing; at most half of the slots are ever taken. */
static struct slot *slot_of(uint64_t key)
{
	uint32_t at = home_of(key);

	while (slots[at].key && slots[at].key != key)
		at = (at + 1) % SLOTS;
	return &slots[at];
}

uint64_t hash_table(uint64_t count)
{
	uint64_t seed = RANDOM_SEED, sum = 0;

	for (size_t i = 0; i < SLOTS; i++)
		slots[i] = (struct slot){0, 0};
	while (count--) {
		uint64_t key = random_next(&seed) % KEYS + 1;
		struct slot *s = slot_of(key);

		s->key = key;
		sum += ++s->uses;
	}
	for (size_t i = 0; i < SLOTS; i++)
		sum = mix(sum, slots[i].key + slots[i].uses);
	return sum;
}

void message_prepare(void)
{
	uint64_t seed = RANDOM_SEED;

	for (size_t i = 0; i < MESSAGE_BYTES; i++)
		message[i] = (uint8_t)random_next(&seed);
}

/* The reflected polynomial of Ethernet's CRC-32. */
void crc_prepare(void)
{
	message_prepare();
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
		crc_of_byte[byte] = crc;
	}
}

uint64_t crc_table(uint64_t count)
{
	uint32_t crc = 0xffffffff;

	while (count--) {
		for (size_t i = 0; i < MESSAGE_BYTES; i++)
			crc = crc >> 8 ^ crc_of_byte[(uint8_t)crc ^ message[i]];
		barrier();
	}
	return ~crc;
}

uint64_t fnv(uint64_t count)
{
	uint64_t hash = 0xcbf29ce484222325u;

	while (count--) {
		for (size_t i = 0; i < MESSAGE_BYTES; i++)
			hash = (hash ^ message[i]) * 0x100000001b3u;
		barrier();
	}
	return hash;
}

/* FIPS 180-4, 4.2.2. */
static const uint32_t sha_k[SHA_ROUNDS] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2};

static inline uint32_t ror(uint32_t value, unsigned by)
{
	return value >> by | value << (32 - by);
}

static void sha_schedule(uint32_t w[SHA_ROUNDS], const uint8_t *block)
{
	for (size_t i = 0; i < 16; i++, block += 4)
		w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 |
		       (uint32_t)block[2] << 8 | block[3];
	for (size_t i = 16; i < SHA_ROUNDS; i++) {
		uint32_t s0 = ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t s1 = ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10;

		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
}

/* FIPS 180-4, 6.2.2. */
static void sha_block(uint32_t state[8], const uint8_t *block)
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
	uint32_t w[SHA_ROUNDS];

	sha_schedule(w, block);
	for (size_t i = 0; i < SHA_ROUNDS; i++) {
		uint32_t t1 = h + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & f) ^ (~e & g)) +
			      sha_k[i] + w[i];
		uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));

		h = g;
		g = f;
		f = e;
		e = d + t1;
		d = c;
		c = b;
		b = a;
		a = t1 + t2;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}

/* Without the padding: one endless message. */
uint64_t sha256(uint64_t count)
{
	uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	while (count--)
		for (size_t at = 0; at < MESSAGE_BYTES; at += SHA_BLOCK)
			sha_block(state, message + at);
	return (uint64_t)state[0] << 32 | state[7];
}
