/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/param.h"

#include "base/errno.h"
#include "base/str.h"

enum { NAME_MAX = 48, VALUE_MAX = 64, DIGITS_MAX = 18 };

/* ---- Numbers ------------------------------------------------------------------------------ */

/* Freestanding code has no strtod; powers of ten to 22 are exact in a double. */
static double power_of_ten(unsigned n)
{
	double p = 1;

	while (n--)
		p *= 10;
	return p;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static double scaled(double v, int exponent)
{
	return exponent < 0 ? v / power_of_ten((unsigned)-exponent)
			    : v * power_of_ten((unsigned)exponent);
}

/* Moves *s past a decimal number. False, if there is none or it has too many digits. */
static bool take_decimal(const char **s, double *out)
{
	const char *p = *s;
	bool minus = *p == '-', point = false;
	unsigned digits = 0, behind = 0;
	double v = 0;

	for (p += minus; is_digit(*p) || (*p == '.' && !point); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		v = v * 10 + (*p - '0');
		digits++;
		behind += point;
	}
	if (!digits || digits > DIGITS_MAX)
		return false;
	*out = scaled(minus ? -v : v, -(int)behind);
	*s = p;
	return true;
}

static bool take_exponent(const char **s, double *v)
{
	const char *p = *s;
	int e = 0, sign = 1;

	if (*p != 'e' && *p != 'E')
		return true;
	p++;
	if (*p == '-' || *p == '+')
		sign = *p++ == '-' ? -1 : 1;
	if (!is_digit(*p))
		return false;
	for (; is_digit(*p) && e < 100; p++)
		e = e * 10 + (*p - '0');
	*v = scaled(*v, sign * e);
	*s = p;
	return true;
}

/* ---- One kind each ------------------------------------------------------------------------ */

struct unit {
	const char *name;
	double factor;
};

static const struct unit times[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
static const struct unit powers[] = {{"", 1},
				     {"K", 1024.0},
				     {"M", 1024.0 * 1024},
				     {"G", 1024.0 * 1024 * 1024},
				     {"T", 1024.0 * 1024 * 1024 * 1024}};
static const struct unit one[] = {{"", 1}};

static bool with_unit(const char *text, const struct unit *units, size_t n, double *out)
{
	double v;

	if (!take_decimal(&text, &v))
		return false;
	for (size_t i = 0; i < n; i++)
		if (str_eq(text, units[i].name)) {
			*out = v * units[i].factor;
			return true;
		}
	return false;
}

static bool parse_real(const char *text, double *out)
{
	return take_decimal(&text, out) && take_exponent(&text, out) && !*text;
}

static bool parse_flag(const char *text, double *out)
{
	*out = str_eq(text, "on");
	return *out != 0 || str_eq(text, "off");
}

static bool parse_count(const char *text, double *out)
{
	u64 v;

	/* Exact up to 2^53, which is more than any range allows. */
	if (!str_parse_u64(text, &v)) {
		*out = (double)v;
		return true;
	}
	return with_unit(text, powers, ARRAY_LEN(powers), out);
}

static bool parse_time(const char *text, double *out)
{
	return str_eq(text, "0") ? with_unit(text, one, ARRAY_LEN(one), out)
				 : with_unit(text, times, ARRAY_LEN(times), out);
}

static const struct kind {
	const char *what;
	bool (*parse)(const char *text, double *out);
} kinds[] = {
	[PARAM_COUNT] = {"a number such as 64 or 8K", parse_count},
	[PARAM_TIME] = {"a time such as 500us or 3.5ms", parse_time},
	[PARAM_REAL] = {"a number such as 1.5", parse_real},
	[PARAM_FLAG] = {"on or off", parse_flag},
};

static void store(const struct param *p, double v, void *values)
{
	char *at = (char *)values + p->offset;

	switch (p->kind) {
	case PARAM_COUNT:
	case PARAM_TIME:
		*(u64 *)(void *)at = (u64)(v + 0.5);
		break;
	case PARAM_REAL:
		*(double *)(void *)at = v;
		break;
	case PARAM_FLAG:
		*(bool *)at = v != 0;
		break;
	}
}

static int parse_value(const struct param *p, const char *value, void *values, struct alc_err *err)
{
	double v;

	if (!kinds[p->kind].parse(value, &v))
		return alc_fail(err, -EINVAL, "'%s' is %s, not '%s'", p->name, kinds[p->kind].what,
				value);
	if (p->kind != PARAM_FLAG && (v < p->min || v > p->max))
		return alc_fail(err, -ERANGE, "'%s' can't be '%s': %s", p->name, value, p->help);
	store(p, v, values);
	return 0;
}

/* ---- Tables ------------------------------------------------------------------------------- */

static const struct param *find(const struct param *table, const char *name, const char **nearest)
{
	size_t best = SIZE_MAX;

	*nearest = NULL;
	for (const struct param *p = table; p && p->name; p++) {
		if (str_eq(p->name, name))
			return p;
		if (str_nearer(name, p->name, &best))
			*nearest = p->name;
	}
	return NULL;
}

int param_set(const struct param *table, const char *name, const char *value, void *values,
	      struct alc_err *err)
{
	const char *nearest;
	const struct param *p = find(table, name, &nearest);

	if (p)
		return parse_value(p, value, values, err);
	if (nearest)
		return alc_fail(err, -ENOENT, "there is no parameter '%s', did you mean '%s'?",
				name, nearest);
	return alc_fail(err, -ENOENT, "there is no parameter '%s'", name);
}

/* Copies up to one of the two characters or the end; returns where it stopped, NULL: too long. */
static const char *take_word(const char *from, char until, char *to, size_t size)
{
	size_t n = 0;

	for (; *from && *from != until && *from != ':'; from++) {
		if (n + 1 == size)
			return NULL;
		to[n++] = *from;
	}
	to[n] = 0;
	return from;
}

static int parse_one(const struct param *table, const char **text, void *values,
		     struct alc_err *err)
{
	char name[NAME_MAX], value[VALUE_MAX];
	const char *at = take_word(*text, '=', name, sizeof(name));

	if (!at || *at != '=')
		return alc_fail(err, -EINVAL, "parameters are NAME=VALUE, not '%s'", *text);
	at = take_word(at + 1, ':', value, sizeof(value));
	if (!at)
		return alc_fail(err, -EINVAL, "the value of '%s' is too long", name);
	*text = *at ? at + 1 : at;
	return param_set(table, name, value, values, err);
}

int param_override(const struct param *table, const char *text, void *values, struct alc_err *err)
{
	int rc = 0;

	while (!rc && text && *text)
		rc = parse_one(table, &text, values, err);
	return rc;
}

int param_parse(const struct param *table, const char *text, void *values, struct alc_err *err)
{
	int rc = 0;

	for (const struct param *p = table; p && p->name && !rc; p++)
		rc = parse_value(p, p->initial, values, err);
	return rc ? rc : param_override(table, text, values, err);
}
