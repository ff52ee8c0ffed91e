/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes one after the other: C strings, and a compressor. */
#include "kernels.h"

enum { STRINGS = 32, STRING_BYTES = 64, COMMON_BYTES = 12 };
enum { TEXT_BYTES = 16384, WORDS = 200, WORD_BYTES_MAX = 9, HEADS = 4096, RUN_MAX = 128 };
enum { MATCH_MIN = 4, MATCH_MAX = MATCH_MIN + 127, LITERAL = 0, MATCH = 0x80 };

static char string_table[STRINGS][STRING_BYTES];
static uint8_t text[TEXT_BYTES];
/* The worst case is a byte before each run of literals. */
static uint8_t packed[TEXT_BYTES + TEXT_BYTES / RUN_MAX + 1];
static uint32_t heads[HEADS];

/* Alike at the beginning, so that a comparison has something to do. */
void strings_prepare(void)
{
	uint64_t seed = RANDOM_SEED;

	for (size_t i = 0; i < STRINGS; i++) {
		size_t len = COMMON_BYTES + random_next(&seed) % (STRING_BYTES - COMMON_BYTES);

		for (size_t at = 0; at < len; at++)
			string_table[i][at] = (char)(at < COMMON_BYTES
							     ? 'a' + at
							     : 'a' + random_next(&seed) % 26);
		string_table[i][len] = 0;
	}
}

static __attribute__((noinline)) size_t length(const char *s)
{
	const char *p = s;

	while (*p)
		p++;
	return (size_t)(p - s);
}

static __attribute__((noinline)) int compare(const char *s, const char *t)
{
	while (*s && *s == *t)
		s++, t++;
	return (unsigned char)*s - (unsigned char)*t;
}

uint64_t strings(uint64_t count)
{
	uint64_t sum = 0;

	while (count--) {
		for (size_t i = 0; i < STRINGS; i++) {
			int order = compare(string_table[i], string_table[(i + 1) % STRINGS]);

			sum = mix(sum, length(string_table[i]) + (order < 0));
		}
		barrier();
	}
	return sum;
}

static size_t make_word(char *word, uint64_t *seed)
{
	size_t len = 2 + random_next(seed) % (WORD_BYTES_MAX - 2);

	for (size_t i = 0; i < len; i++)
		word[i] = (char)('a' + random_next(seed) % 26);
	word[len] = ' ';
	return len + 1;
}

/* Words of a small vocabulary, some of them far more frequent than others. */
void lz_prepare(void)
{
	char words[WORDS][WORD_BYTES_MAX + 1];
	size_t lens[WORDS];
	uint64_t seed = RANDOM_SEED;

	for (size_t i = 0; i < WORDS; i++)
		lens[i] = make_word(words[i], &seed);
	for (size_t at = 0; at < TEXT_BYTES;) {
		size_t w = random_next(&seed) % (random_next(&seed) % WORDS + 1);

		for (size_t i = 0; i < lens[w] && at < TEXT_BYTES; i++)
			text[at++] = (uint8_t)words[w][i];
	}
}

static uint32_t head_of(const uint8_t *p)
{
	uint32_t four = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;

	return four * 2654435761u >> 20;
}

static size_t match_len(const uint8_t *earlier, const uint8_t *p, const uint8_t *end)
{
	size_t len = 0;

	while (len < MATCH_MAX && p + len < end && earlier[len] == p[len])
		len++;
	return len;
}

static uint8_t *put_literals(uint8_t *out, const uint8_t *from, const uint8_t *to)
{
	while (from < to) {
		size_t len = (size_t)(to - from) < RUN_MAX ? (size_t)(to - from) : RUN_MAX;

		*out++ = (uint8_t)(LITERAL | (len - 1));
		while (len--)
			*out++ = *from++;
	}
	return out;
}

static uint8_t *put_match(uint8_t *out, size_t len, size_t distance)
{
	*out++ = (uint8_t)(MATCH | (len - MATCH_MIN));
	*out++ = (uint8_t)distance;
	*out++ = (uint8_t)(distance >> 8);
	return out;
}

/* Greedy LZ77 with the last occurrence of each four bytes; a head is a position plus one. */
static __attribute__((noinline)) size_t compress(void)
{
	const uint8_t *end = text + TEXT_BYTES, *literals = text, *p = text;
	uint8_t *out = packed;

	for (size_t i = 0; i < HEADS; i++)
		heads[i] = 0;
	while (p + MATCH_MIN <= end) {
		uint32_t *head = &heads[head_of(p)], last = *head;
		size_t len = last ? match_len(text + last - 1, p, end) : 0;

		*head = (uint32_t)(p - text) + 1;
		if (len < MATCH_MIN) {
			p++;
			continue;
		}
		out = put_literals(out, literals, p);
		out = put_match(out, len, (size_t)(p - text) - (last - 1));
		p += len;
		literals = p;
	}
	return (size_t)(put_literals(out, literals, end) - packed);
}

uint64_t lz(uint64_t count)
{
	uint64_t sum = 0;
	size_t len = 0;

	while (count--) {
		len = compress();
		sum = mix(sum, len);
	}
	for (size_t i = 0; i < len; i++)
		sum = mix(sum, packed[i]);
	return sum;
}
