/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/fmt.h"
#include "base/bits.h"
#include "base/str.h"

struct sink {
	char *out;
	size_t size;
	size_t len; /* of the whole text, whether it fits or not */
};

/* One conversion, between its % and its letter. */
struct spec {
	bool left, zero;
	size_t width;
	size_t precision; /* SIZE_MAX: none given */
	enum { LEN_INT, LEN_LONG, LEN_LLONG, LEN_SIZE } length;
	char letter;
};

enum { DIGITS_MAX = 20 }; /* of 2^64 in decimal */

static void put(struct sink *s, char c)
{
	if (s->len + 1 < s->size)
		s->out[s->len] = c;
	s->len++;
}

static void put_n(struct sink *s, char c, size_t n)
{
	while (n--)
		put(s, c);
}

/* prefix (a sign, 0x) stands before zeroes but after spaces. */
static void put_padded(struct sink *s, const struct spec *sp, const char *prefix, const char *text,
		       size_t len)
{
	size_t prefix_len = str_len(prefix);
	size_t used = prefix_len + len;
	size_t pad = sp->width > used ? sp->width - used : 0;
	bool zero = sp->zero && !sp->left;

	if (!zero && !sp->left)
		put_n(s, ' ', pad);
	for (size_t i = 0; i < prefix_len; i++)
		put(s, prefix[i]);
	if (zero)
		put_n(s, '0', pad);
	for (size_t i = 0; i < len; i++)
		put(s, text[i]);
	if (sp->left)
		put_n(s, ' ', pad);
}

static void put_number(struct sink *s, const struct spec *sp, const char *prefix, u64 v,
		       unsigned radix)
{
	const char *digits = sp->letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[DIGITS_MAX];
	size_t at = DIGITS_MAX;

	do {
		text[--at] = digits[v % radix];
		v /= radix;
	} while (v);
	put_padded(s, sp, prefix, text + at, DIGITS_MAX - at);
}

static void put_signed(struct sink *s, const struct spec *sp, i64 v)
{
	put_number(s, sp, v < 0 ? "-" : "", v < 0 ? 0 - (u64)v : (u64)v, 10);
}

static void put_string(struct sink *s, struct spec *sp, const char *text)
{
	size_t len = 0;

	if (!text)
		text = "(null)";
	while (len < sp->precision && text[len])
		len++;
	sp->zero = false;
	put_padded(s, sp, "", text, len);
}

static const char *parse_number(const char *p, size_t *out)
{
	size_t v = 0;

	for (; *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (size_t)(*p - '0');
	*out = v;
	return p;
}

static const char *parse_flags(const char *p, struct spec *sp)
{
	for (;; p++) {
		if (*p == '-')
			sp->left = true;
		else if (*p == '0')
			sp->zero = true;
		else
			return p;
	}
}

static const char *parse_length(const char *p, struct spec *sp)
{
	if (*p == 'z') {
		sp->length = LEN_SIZE;
		return p + 1;
	}
	if (*p != 'l')
		return p;
	sp->length = p[1] == 'l' ? LEN_LLONG : LEN_LONG;
	return p + (p[1] == 'l' ? 2 : 1);
}

/* va_list is an array type here, so it is passed on in a structure to stay one object. */
struct args {
	va_list ap;
};

/* A negative width from `*` means left-justified. */
static const char *parse_width(const char *p, struct spec *sp, struct args *args)
{
	int v;

	if (*p != '*')
		return parse_number(p, &sp->width);
	v = va_arg(args->ap, int);
	sp->left |= v < 0;
	sp->width = v < 0 ? 0 - (size_t)v : (size_t)v;
	return p + 1;
}

static const char *parse_precision(const char *p, struct spec *sp, struct args *args)
{
	int v;

	if (*p != '.')
		return p;
	p++;
	if (*p != '*')
		return parse_number(p, &sp->precision);
	v = va_arg(args->ap, int);
	if (v >= 0)
		sp->precision = (size_t)v;
	return p + 1;
}

static const char *parse_spec(const char *p, struct spec *sp, struct args *args)
{
	*sp = (struct spec){.precision = SIZE_MAX};
	p = parse_flags(p, sp);
	p = parse_width(p, sp, args);
	p = parse_precision(p, sp, args);
	p = parse_length(p, sp);
	sp->letter = *p;
	return p;
}

static u64 arg_unsigned(const struct spec *sp, struct args *args)
{
	switch (sp->length) {
	case LEN_LONG:
		return va_arg(args->ap, unsigned long);
	case LEN_LLONG:
		return va_arg(args->ap, unsigned long long);
	case LEN_SIZE:
		return va_arg(args->ap, size_t);
	default:
		return va_arg(args->ap, unsigned);
	}
}

static i64 arg_signed(const struct spec *sp, struct args *args)
{
	switch (sp->length) {
	case LEN_LONG:
		return va_arg(args->ap, long);
	case LEN_LLONG:
		return va_arg(args->ap, long long);
	case LEN_SIZE:
		return va_arg(args->ap, ptrdiff_t);
	default:
		return va_arg(args->ap, int);
	}
}

/* False for a letter that this subset lacks. */
static bool convert(struct sink *s, struct spec *sp, struct args *args)
{
	char c;

	switch (sp->letter) {
	case 's':
		put_string(s, sp, va_arg(args->ap, const char *));
		return true;
	case 'c':
		c = (char)va_arg(args->ap, int);
		sp->zero = false;
		put_padded(s, sp, "", &c, 1);
		return true;
	case 'd':
	case 'i':
		put_signed(s, sp, arg_signed(sp, args));
		return true;
	case 'u':
		put_number(s, sp, "", arg_unsigned(sp, args), 10);
		return true;
	case 'x':
	case 'X':
		put_number(s, sp, "", arg_unsigned(sp, args), 16);
		return true;
	case 'p':
		put_number(s, sp, "0x", (u64)(uintptr_t)va_arg(args->ap, void *), 16);
		return true;
	case '%':
		put(s, '%');
		return true;
	default:
		return false;
	}
}

static void format(struct sink *s, const char *fmt, struct args *args)
{
	while (*fmt) {
		const char *start = fmt;
		struct spec sp;

		if (*fmt != '%') {
			put(s, *fmt++);
			continue;
		}
		fmt = parse_spec(fmt + 1, &sp, args);
		if (convert(s, &sp, args)) {
			fmt++;
			continue;
		}
		/* What the arguments are is unknown from here on: show the rest as it stands. */
		for (fmt = start; *fmt; fmt++)
			put(s, *fmt);
	}
}

size_t fmt_vtext(char *out, size_t size, const char *fmt, va_list ap)
{
	struct sink s = {.out = out, .size = size};
	struct args args;

	va_copy(args.ap, ap);
	format(&s, fmt, &args);
	va_end(args.ap);
	if (size)
		out[s.len < size ? s.len : size - 1] = '\0';
	return s.len;
}

size_t fmt_text(char *out, size_t size, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	len = fmt_vtext(out, size, fmt, ap);
	va_end(ap);
	return len;
}
