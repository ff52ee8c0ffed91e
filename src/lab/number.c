/* SPDX-License-Identifier: BSD-2-Clause */
#include "lab/number.h"

/* ---- Functions ---------------------------------------------------------------------------- */

static const double ln2_high = 0x1.62e42fee00000p-1; /* 32 bits: n * ln2_high is exact */
static const double ln2_low = 0x1.a39ef35793c76p-33;
static const double sqrt2 = 0x1.6a09e667f3bcdp0;

enum { EXPONENT_BIAS = 1023, MANTISSA_BITS = 52, LOG_TERMS = 13, EXP_TERMS = 16 };

static u64 bits_of(double x)
{
	u64 v;

	__builtin_memcpy(&v, &x, sizeof(v));
	return v;
}

static double of_bits(u64 v)
{
	double x;

	__builtin_memcpy(&x, &v, sizeof(x));
	return x;
}

static double power_of_two(int n)
{
	return of_bits((u64)(n + EXPONENT_BIAS) << MANTISSA_BITS);
}

/* x = m * 2^n with m in [sqrt(1/2), sqrt(2)). */
static double split(double x, int *n)
{
	int exponent = 0;
	double m;

	if (x < 0x1p-1022) { /* subnormal */
		x *= 0x1p54;
		exponent = -54;
	}
	exponent += (int)(bits_of(x) >> MANTISSA_BITS) - EXPONENT_BIAS;
	m = of_bits((bits_of(x) & mask_low(MANTISSA_BITS)) | bits_of(1.0));
	if (m >= sqrt2) {
		m *= 0.5;
		exponent++;
	}
	*n = exponent;
	return m;
}

/* log m = 2 (s + s^3/3 + s^5/5 + …) with s = (m - 1) / (m + 1), |s| < 0.172. */
double num_log(double x)
{
	int n;
	double m = split(x, &n), s = (m - 1) / (m + 1), s2 = s * s, sum = 0;

	for (int i = LOG_TERMS; i > 0; i--)
		sum = (sum + 1.0 / (2 * i + 1)) * s2;
	return n * ln2_high + (2 * s + (2 * s * sum + n * ln2_low));
}

/* x = n ln 2 + f, |f| <= ln 2 / 2, and the series of e^f. */
double num_exp(double x)
{
	int n = (int)(x * (1 / (ln2_high + ln2_low)) + (x < 0 ? -0.5 : 0.5));
	double f = (x - n * ln2_high) - n * ln2_low, sum = 1;

	for (int i = EXP_TERMS; i > 0; i--)
		sum = 1 + sum * f / i;
	return sum * power_of_two(n);
}

double num_pow(double x, double y)
{
	return num_exp(y * num_log(x));
}

/* Newton's iteration doubles the digits, from a first guess of some 10 bits or more. */
double num_sqrt(double x)
{
	double y;

	if (x <= 0)
		return 0;
	y = num_exp(0.5 * num_log(x));
	return 0.5 * (y + x / y);
}

u64 num_ns(double ns)
{
	const double century = 3.2e18;

	if (ns >= century)
		return (u64)century;
	return ns < 1 ? 1 : (u64)ns;
}

/* ---- Generator ---------------------------------------------------------------------------- */

static u64 splitmix(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static u64 rotate(u64 v, unsigned by)
{
	return v << by | v >> (64 - by);
}

void rng_init(struct rng *r, u64 seed, u64 stream)
{
	u64 state = seed;

	/* Two rounds, so that neighbouring seeds and streams never share a state. */
	state = splitmix(&state) ^ stream;
	state = splitmix(&state);
	for (unsigned i = 0; i < ARRAY_LEN(r->s); i++)
		r->s[i] = splitmix(&state);
}

u64 rng_next(struct rng *r)
{
	u64 result = rotate(r->s[1] * 5, 7) * 9, t = r->s[1] << 17;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = rotate(r->s[3], 45);
	return result;
}

u64 rng_below(struct rng *r, u64 n)
{
	return (u64)((unsigned __int128)rng_next(r) * n >> 64);
}

double rng_unit(struct rng *r)
{
	return (double)((rng_next(r) >> 11) + 1) * 0x1p-53;
}

/* ---- Distributions ------------------------------------------------------------------------ */

double rng_exponential(struct rng *r, double mean)
{
	return -mean * num_log(rng_unit(r));
}

double rng_pareto(struct rng *r, double alpha, double k)
{
	return k * num_pow(rng_unit(r), -1 / alpha);
}

/* Marsaglia's polar method; its second number is left unused, so that there is no state. */
double rng_normal(struct rng *r)
{
	for (;;) {
		double u = 2 * rng_unit(r) - 1, v = 2 * rng_unit(r) - 1, s = u * u + v * v;

		if (s > 0 && s < 1)
			return u * num_sqrt(-2 * num_log(s) / s);
	}
}

double rng_lognormal(struct rng *r, double mu, double sigma)
{
	double x = mu + sigma * rng_normal(r);

	return num_exp(x > 100 ? 100 : x);
}

void zipf_init(struct zipf *z, double *cumulative, u32 n, double exponent)
{
	double sum = 0;

	*z = (struct zipf){.cumulative = cumulative, .n = n};
	for (u32 i = 0; i < n; i++) {
		sum += num_pow(i + 1.0, -exponent);
		cumulative[i] = sum;
	}
}

u32 zipf_draw(const struct zipf *z, struct rng *r)
{
	double at = rng_unit(r) * z->cumulative[z->n - 1];
	u32 low = 0, high = z->n - 1;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (z->cumulative[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
