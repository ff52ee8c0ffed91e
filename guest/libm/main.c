/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The C library's mathematical functions of float, double and long double, with random arguments,
 * in all four rounding modes. Prints a sum of each function's exact results and of the exceptions
 * that it raised, which must be the same wherever the program runs.
 *
 *	libm [COUNT]     how many arguments each is given
 */
#include <fenv.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma STDC FENV_ACCESS ON

typedef long double extended;

static uint64_t state;

static uint64_t next(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x9e3779b97f4a7c15 + (sum >> 29);
}

/* ---- Arguments ----
 *
 * A third is any number, denormals, infinities and NaN among them; a third is between 2^-16 and
 * 2^16; and a third is near an integer or half of one, where functions are not smooth.
 */

static float any_float(void)
{
	uint32_t bits = (uint32_t)next();
	float value;

	switch (next() % 3) {
	case 0:
		break;
	case 1:
		bits = (bits & 0x807fffff) | (uint32_t)(111 + next() % 32) << 23;
		break;
	default:
		return (float)(int32_t)(next() % 401) / 2 - 100;
	}
	memcpy(&value, &bits, sizeof(value));
	return value;
}

static double any_double(void)
{
	uint64_t bits = next();
	double value;

	switch (next() % 3) {
	case 0:
		break;
	case 1:
		bits = (bits & 0x800fffffffffffff) | (uint64_t)(1007 + next() % 32) << 52;
		break;
	default:
		return (double)(int32_t)(next() % 4001) / 2 - 1000;
	}
	memcpy(&value, &bits, sizeof(value));
	return value;
}

static extended any_extended(void)
{
	struct {
		uint64_t mantissa;
		uint16_t exponent;
	} bits = {next(), (uint16_t)next()};
	extended value = 0;

	switch (next() % 3) {
	case 0:
		break;
	case 1:
		bits.exponent = (uint16_t)((bits.exponent & 0x8000) | (16367 + next() % 32));
		break;
	default:
		return (extended)(int32_t)(next() % 4001) / 2 - 1000;
	}
	/* An unnormal is no number. */
	if (bits.exponent & 0x7fff)
		bits.mantissa |= (uint64_t)1 << 63;
	else
		bits.mantissa &= ~((uint64_t)1 << 63);
	memcpy(&value, &bits, 10);
	return value;
}

/* ---- Results ---- */

static uint64_t bits_of_float(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static uint64_t bits_of_double(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static uint64_t bits_of_extended(extended value)
{
	uint64_t low;
	uint16_t high;

	memcpy(&low, &value, sizeof(low));
	memcpy(&high, (const char *)&value + sizeof(low), sizeof(high));
	return mix(low, high);
}

/* ---- Functions ---- */

/* clang-format off */
#define UNARY(F)                                                                      \
	F(acos) F(asin) F(atan) F(cos) F(sin) F(tan)                                  \
	F(acosh) F(asinh) F(atanh) F(cosh) F(sinh) F(tanh)                            \
	F(exp) F(exp2) F(exp10) F(expm1) F(log) F(log10) F(log1p) F(log2) F(logb)     \
	F(sqrt) F(cbrt) F(fabs) F(ceil) F(floor) F(round) F(trunc) F(rint)            \
	F(nearbyint) F(erf) F(erfc) F(lgamma) F(tgamma) F(j0) F(j1) F(y0) F(y1)
/* clang-format on */
#define BINARY(F) \
	F(pow)    \
	F(atan2) F(fmod) F(remainder) F(fdim) F(fmax) F(fmin) F(hypot) F(copysign) F(nextafter)

struct function {
	const char *name;
	uint64_t (*once)(void);
};

#define ONE(name, suffix, type)                                    \
	static uint64_t once_##name##suffix(void)                  \
	{                                                          \
		return bits_of_##type(name##suffix(any_##type())); \
	}
#define TWO(name, suffix, type)                                       \
	static uint64_t once_##name##suffix(void)                     \
	{                                                             \
		type x = any_##type();                                \
                                                                      \
		return bits_of_##type(name##suffix(x, any_##type())); \
	}
/* Those with other results, and fma. */
#define MORE(suffix, type)                                                           \
	static uint64_t once_fma##suffix(void)                                       \
	{                                                                            \
		type x = any_##type(), y = any_##type();                             \
                                                                                     \
		return bits_of_##type(fma##suffix(x, y, any_##type()));              \
	}                                                                            \
	static uint64_t once_frexp##suffix(void)                                     \
	{                                                                            \
		int exponent = 0;                                                    \
		type x = frexp##suffix(any_##type(), &exponent);                     \
                                                                                     \
		return mix(bits_of_##type(x), isfinite(x) ? (uint64_t)exponent : 0); \
	}                                                                            \
	static uint64_t once_modf##suffix(void)                                      \
	{                                                                            \
		type whole, x = modf##suffix(any_##type(), &whole);                  \
                                                                                     \
		return mix(bits_of_##type(x), bits_of_##type(whole));                \
	}                                                                            \
	static uint64_t once_scalbn##suffix(void)                                    \
	{                                                                            \
		type x = any_##type();                                               \
                                                                                     \
		return bits_of_##type(scalbn##suffix(x, (int)(next() % 400) - 200)); \
	}                                                                            \
	static uint64_t once_llrint##suffix(void)                                    \
	{                                                                            \
		return (uint64_t)llrint##suffix(any_##type());                       \
	}                                                                            \
	static uint64_t once_llround##suffix(void)                                   \
	{                                                                            \
		return (uint64_t)llround##suffix(any_##type());                      \
	}                                                                            \
	static uint64_t once_ilogb##suffix(void)                                     \
	{                                                                            \
		return (uint64_t)ilogb##suffix(any_##type());                        \
	}
#define MORE_ROWS(F)       F(fma) F(frexp) F(modf) F(scalbn) F(llrint) F(llround) F(ilogb)

#define ONE_FLOAT(name)    ONE(name, f, float)
#define ONE_DOUBLE(name)   ONE(name, , double)
#define ONE_EXTENDED(name) ONE(name, l, extended)
#define TWO_FLOAT(name)    TWO(name, f, float)
#define TWO_DOUBLE(name)   TWO(name, , double)
#define TWO_EXTENDED(name) TWO(name, l, extended)
UNARY(ONE_FLOAT)
UNARY(ONE_DOUBLE)
UNARY(ONE_EXTENDED)
BINARY(TWO_FLOAT)
BINARY(TWO_DOUBLE)
BINARY(TWO_EXTENDED)
MORE(f, float)
MORE(, double)
MORE(l, extended)

/* Text, both ways. */
static uint64_t once_text(void)
{
	extended x = any_extended();
	char text[64];

	snprintf(text, sizeof(text), "%.25Lg", x);
	return mix(bits_of_extended(strtold(text, NULL)), (uint64_t)strlen(text));
}

#define ROW(name, suffix)  {#name #suffix, once_##name##suffix},
#define ROW_FLOAT(name)    ROW(name, f)
#define ROW_DOUBLE(name)   ROW(name, )
#define ROW_EXTENDED(name) ROW(name, l)
static const struct function functions[] = {
	UNARY(ROW_FLOAT) UNARY(ROW_DOUBLE) UNARY(ROW_EXTENDED) BINARY(ROW_FLOAT) BINARY(ROW_DOUBLE)
		BINARY(ROW_EXTENDED) MORE_ROWS(ROW_FLOAT) MORE_ROWS(ROW_DOUBLE)
			MORE_ROWS(ROW_EXTENDED){"text", once_text},
};

static uint64_t sum_of(const struct function *f, unsigned long count)
{
	static const int modes[] = {FE_TONEAREST, FE_TONEAREST, FE_DOWNWARD, FE_UPWARD,
				    FE_TOWARDZERO};
	uint64_t sum = 0;

	for (unsigned long n = 0; n < count; n++) {
		fesetround(modes[n % (sizeof(modes) / sizeof(modes[0]))]);
		feclearexcept(FE_ALL_EXCEPT);
		sum = mix(sum, f->once());
		sum = mix(sum, (uint64_t)fetestexcept(FE_ALL_EXCEPT));
	}
	fesetround(FE_TONEAREST);
	return sum;
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		state = i;
		printf("%-12s %016" PRIx64 "\n", functions[i].name, sum_of(&functions[i], count));
	}
	printf("done\n");
	return 0;
}
