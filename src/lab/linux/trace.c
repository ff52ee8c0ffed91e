/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/linux/experiment.h"

/* Traces come from strangers: every line is taken apart by hand and complained about by number. */
enum { FIELDS_MAX = 24, NS_DIGITS = 9 };
#define TRACE_BYTES_MAX (4ull << 30)

struct reader {
	const char *name;
	unsigned long line;
	struct trace *trace;
	size_t room;
	struct alc_err *err;
	char *fields[FIELDS_MAX];
	unsigned nfields;
	/* fio */
	u64 clock_ns;
	unsigned version;
};

static int bad(const struct reader *r, const char *what)
{
	return alc_fail(r->err, -EINVAL, "%s:%lu: %s", r->name, r->line, what);
}

/* ---- Fields ------------------------------------------------------------------------------- */

static void cut(struct reader *r, char *line, const char *separators, bool join)
{
	r->nfields = 0;
	while (line && r->nfields < FIELDS_MAX) {
		char *field = strsep(&line, separators);

		if (*field || !join)
			r->fields[r->nfields++] = field;
	}
}

static bool number(const char *s, u64 *out)
{
	u64 v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (u64)(*s - '0'), &v))
			return false;
	}
	*out = v;
	return true;
}

/* Seconds with up to nine digits behind the point. */
static bool seconds(const char *s, u64 *ns)
{
	const char *point = strchr(s, '.');
	char whole[24];
	u64 high, low = 0, unit = 1000000000;
	size_t len = point ? (size_t)(point - s) : strlen(s);

	if (len >= sizeof(whole))
		return false;
	memcpy(whole, s, len);
	whole[len] = '\0';
	if (!number(whole, &high) || high > 10000000000)
		return false;
	for (s = point ? point + 1 : ""; *s; s++) {
		if (*s < '0' || *s > '9' || unit == 1)
			return false;
		unit /= 10;
		low += (u64)(*s - '0') * unit;
	}
	*ns = high * 1000000000 + low;
	return true;
}

/* ---- Requests ----------------------------------------------------------------------------- */

static int add(struct reader *r, const struct trace_req *q)
{
	struct trace *t = r->trace;

	if (t->n == r->room) {
		size_t room = r->room ? 2 * r->room : 1024;
		struct trace_req *more = realloc(t->reqs, room * sizeof(*more));

		if (!more)
			return alc_fail(r->err, -ENOMEM, "no memory for the trace '%s'", r->name);
		t->reqs = more;
		r->room = room;
	}
	t->reqs[t->n++] = *q;
	return 0;
}

/* bytes: both whole sectors, as every disk has them. */
static int add_bytes(struct reader *r, u64 ns, enum block_op op, u64 offset, u64 len, u64 issuer)
{
	if (offset % SECTOR_BYTES || len % SECTOR_BYTES)
		return bad(r, "offset and size must be whole sectors of 512 bytes");
	if (!len || len / SECTOR_BYTES > UINT32_MAX || issuer > UINT32_MAX)
		return bad(r, "a size or a number is out of range");
	return add(r, &(struct trace_req){.arrival_ns = ns,
					  .sector = offset / SECTOR_BYTES,
					  .sectors = (u32)(len / SECTOR_BYTES),
					  .issuer = (u32)issuer,
					  .op = op});
}

/* When the request just added was given to the drive, and done. */
static int measured(struct reader *r, u64 dispatch_ns, u64 done_ns)
{
	struct trace_req *q = &r->trace->reqs[r->trace->n - 1];

	if (dispatch_ns > done_ns)
		return bad(r, "a request is done before it is dispatched");
	q->dispatch_ns = dispatch_ns;
	q->done_ns = done_ns;
	return 0;
}

/* ---- Our own record ----------------------------------------------------------------------- */

static bool own_is(const char *text)
{
	return !strncmp(text, "arrival_ns,dispatch_ns,", 23);
}

static int own_line(struct reader *r, char *line)
{
	u64 arrival, dispatch, done, sector, sectors, issuer;
	enum block_op op;
	int rc;

	if (r->line == 1)
		return 0;
	cut(r, line, ",", false);
	if (r->nfields < 7)
		return bad(r, "a record has arrival_ns, dispatch_ns, done_ns, op, sector, sectors "
			      "and issuer");
	if (!strcmp(r->fields[3], "read"))
		op = BLOCK_READ;
	else if (!strcmp(r->fields[3], "write"))
		op = BLOCK_WRITE;
	else
		return 0; /* flushes and discards have no place on the disk */
	if (!number(r->fields[0], &arrival) || !number(r->fields[1], &dispatch) ||
	    !number(r->fields[2], &done) || !number(r->fields[4], &sector) ||
	    !number(r->fields[5], &sectors) || !number(r->fields[6], &issuer) ||
	    sector > UINT64_MAX / SECTOR_BYTES || sectors > UINT32_MAX)
		return bad(r, "instants, sectors and issuers are numbers");
	rc = add_bytes(r, arrival, op, sector * SECTOR_BYTES, sectors * SECTOR_BYTES, issuer);
	return rc ? rc : measured(r, dispatch, done);
}

/* ---- blkparse ------------------------------------------------------------------------------ */

/* "8,0 1 42 0.000123456 697 Q R 223490 + 8 [fio]": device, CPU, sequence, time, process, action. */
static bool blkparse_is(const char *text)
{
	unsigned major, minor, cpu;

	return sscanf(text, " %u,%u %u", &major, &minor, &cpu) == 3;
}

/* The latest request at that sector that is not yet done, or not yet dispatched; NULL: none. */
static struct trace_req *in_flight(const struct reader *r, u64 sector, bool dispatched)
{
	const size_t far = 4096; /* more than any queue holds */
	const struct trace *t = r->trace;

	for (size_t i = t->n; i > 0 && t->n - i < far; i--) {
		struct trace_req *q = &t->reqs[i - 1];

		if (q->sector == sector && !q->done_ns && (q->dispatch_ns != 0) == dispatched)
			return q;
	}
	return NULL;
}

/* Instants count from 1 there, so that 0 is none. */
static void note_event(const struct reader *r, char event, u64 ns, u64 sector)
{
	struct trace_req *q = in_flight(r, sector, event == 'C');

	if (q && event == 'D')
		q->dispatch_ns = ns + 1;
	if (q && event == 'C' && ns + 1 >= q->dispatch_ns)
		q->done_ns = ns + 1;
}

/* Queued, dispatched (to the drive), completed; the others are the kernel's own affair. */
static int blkparse_line(struct reader *r, char *line)
{
	u64 ns, process, sector, sectors;
	char event;

	cut(r, line, " \t", true);
	/* What follows the events is a summary. */
	if (r->nfields < 7 || !strchr(r->fields[0], ',') || !strchr("QDC", r->fields[5][0]) ||
	    r->fields[5][1])
		return 0;
	event = r->fields[5][0];
	if (!seconds(r->fields[3], &ns) || !number(r->fields[4], &process))
		return bad(r, "this is no line of blkparse: time and process are not numbers");
	if (r->nfields < 10 || strcmp(r->fields[8], "+"))
		return 0; /* a flush has no place */
	if (!strchr(r->fields[6], 'R') && !strchr(r->fields[6], 'W'))
		return 0;
	if (strchr(r->fields[6], 'D'))
		return 0; /* discards */
	if (!number(r->fields[7], &sector) || !number(r->fields[9], &sectors) ||
	    sector > UINT64_MAX / SECTOR_BYTES || sectors > UINT32_MAX)
		return bad(r, "this is no line of blkparse: sectors are not numbers");
	if (event != 'Q')
		note_event(r, event, ns, sector);
	if (!sectors || event != 'Q')
		return 0;
	return add_bytes(r, ns, strchr(r->fields[6], 'R') ? BLOCK_READ : BLOCK_WRITE,
			 sector * SECTOR_BYTES, sectors * SECTOR_BYTES, process);
}

/* ---- fio ----------------------------------------------------------------------------------- */

static bool fio_is(const char *text)
{
	return !strncmp(text, "fio version ", 12);
}

/* Version 2: "FILE action OFFSET LENGTH", waits by `wait` in µs. 3: a time in ns in front. */
static int fio_line(struct reader *r, char *line)
{
	char **f = r->fields;
	u64 ns, offset, len;

	if (r->line == 1) {
		if (sscanf(line, "fio version %u iolog", &r->version) != 1 || r->version < 2 ||
		    r->version > 3)
			return bad(r, "fio logs of the versions 2 and 3 are understood");
		return 0;
	}
	cut(r, line, " \t", true);
	if (r->version == 3) {
		if (!r->nfields || !number(f[0], &ns))
			return bad(r, "a line of a fio log of version 3 begins with a time in ns");
		if (ns < r->clock_ns)
			return bad(r, "time goes backwards");
		r->clock_ns = ns;
		f++;
		r->nfields--;
	}
	if (r->nfields < 2)
		return bad(r, "a line of a fio log names a file and an action");
	if (r->nfields == 2)
		return 0; /* add, open, close */
	if (r->nfields < 4 || !number(f[2], &offset) || !number(f[3], &len))
		return bad(r, "an action of a fio log has an offset and a length");
	if (!strcmp(f[1], "wait")) {
		if (offset > UINT64_MAX / 2000)
			return bad(r, "a wait is out of range");
		r->clock_ns += offset * 1000;
		return 0;
	}
	if (strcmp(f[1], "read") && strcmp(f[1], "write"))
		return 0; /* sync, datasync, trim */
	return add_bytes(r, r->clock_ns, f[1][0] == 'r' ? BLOCK_READ : BLOCK_WRITE, offset, len, 0);
}

/* ---- MSR-Cambridge ------------------------------------------------------------------------- */

/* "128166372003061629,host,0,Read,383496192,32768,113736": times in units of 100 ns. */
static bool msr_is(const char *text)
{
	const char *line_end = strchr(text, '\n');
	unsigned commas = 0;

	for (const char *p = text; *p && p != line_end; p++)
		commas += *p == ',';
	return commas == 6;
}

static int msr_line(struct reader *r, char *line)
{
	u64 ticks, disk, offset, len, took, ns;
	bool write;
	int rc;

	cut(r, line, ",", false);
	if (r->line == 1 && r->nfields && !strcasecmp(r->fields[0], "timestamp"))
		return 0;
	if (r->nfields != 7 || !number(r->fields[0], &ticks) || !number(r->fields[2], &disk) ||
	    !number(r->fields[4], &offset) || !number(r->fields[5], &len) ||
	    !number(r->fields[6], &took) || took > UINT64_MAX / 200)
		return bad(r, "a line has a timestamp, a host, a disk, a type, an offset, a size "
			      "and a response time");
	write = !strcasecmp(r->fields[3], "write");
	if (!write && strcasecmp(r->fields[3], "read"))
		return bad(r, "the type is Read or Write");
	/* From its first request on, since the units are of 1601. */
	if (!r->trace->n)
		r->clock_ns = ticks;
	if (ticks < r->clock_ns || ticks - r->clock_ns > UINT64_MAX / 200)
		return bad(r, "the time is before that of the first request");
	ns = (ticks - r->clock_ns) * 100;
	rc = add_bytes(r, ns, write ? BLOCK_WRITE : BLOCK_READ, align_down(offset, SECTOR_BYTES),
		       align_up(len, SECTOR_BYTES), disk);
	return rc ? rc : measured(r, ns, ns + took * 100);
}

/* ---- All ----------------------------------------------------------------------------------- */

static const struct format {
	bool (*is)(const char *text);
	int (*line)(struct reader *r, char *line);
} formats[] = {
	{own_is, own_line},
	{fio_is, fio_line},
	{blkparse_is, blkparse_line},
	{msr_is, msr_line},
};

static const struct format *recognise(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (formats[i].is(text))
			return &formats[i];
	return NULL;
}

/* Issuers become small numbers, in order of appearance. */
struct rename {
	u32 *from, n;
};

static u32 renamed(struct rename *rn, u32 issuer)
{
	for (u32 i = 0; i < rn->n; i++)
		if (rn->from[i] == issuer)
			return i;
	rn->from[rn->n] = issuer;
	return rn->n++;
}

static int by_arrival(const void *a, const void *b)
{
	const struct trace_req *x = a, *y = b;

	return (x->arrival_ns > y->arrival_ns) - (x->arrival_ns < y->arrival_ns);
}

static bool is_sorted(const struct trace *t)
{
	for (size_t i = 1; i < t->n; i++)
		if (t->reqs[i].arrival_ns < t->reqs[i - 1].arrival_ns)
			return false;
	return true;
}

static int tidy(const char *name, struct trace *t, struct alc_err *err)
{
	enum { ISSUERS_MAX = 65536 };
	struct rename rn = {0};

	if (!t->reqs)
		return alc_fail(err, -EINVAL, "'%s' has no reads or writes", name);
	rn.from = malloc(ISSUERS_MAX * sizeof(u32));
	if (!rn.from)
		return alc_fail(err, -ENOMEM, "no memory for the trace '%s'", name);
	/* glibc's qsort is a merge sort, which keeps the order of equals. */
	if (!is_sorted(t))
		qsort(t->reqs, t->n, sizeof(*t->reqs), by_arrival);
	for (size_t i = 0; i < t->n && rn.n < ISSUERS_MAX; i++)
		t->reqs[i].issuer = renamed(&rn, t->reqs[i].issuer);
	free(rn.from);
	return rn.n < ISSUERS_MAX ? 0 : alc_fail(err, -ERANGE, "'%s' has too many processes", name);
}

static int parse_lines(struct reader *r, const struct format *f, char *text)
{
	int rc = 0;

	while (!rc && text) {
		char *line = strsep(&text, "\n");
		size_t len = strlen(line);

		r->line++;
		if (len && line[len - 1] == '\r')
			line[len - 1] = '\0';
		if (*line && *line != '#')
			rc = f->line(r, line);
	}
	return rc;
}

int trace_parse(const char *name, const char *text, size_t len, struct trace *out,
		struct alc_err *err)
{
	const struct format *f;
	struct reader r = {.name = name, .trace = out, .err = err};
	char *copy;
	int rc;

	*out = (struct trace){0};
	if (len && memchr(text, 0, len))
		return alc_fail(err, -EINVAL, "'%s' is not text", name);
	copy = strndup(text, len);
	if (!copy)
		return alc_fail(err, -ENOMEM, "no memory for the trace '%s'", name);
	f = recognise(copy);
	if (f)
		rc = parse_lines(&r, f, copy);
	else
		rc = alc_fail(err, -EINVAL,
			      "'%s' is no trace: neither blkparse's text nor a fio log, a CSV of "
			      "MSR-Cambridge's kind or a record",
			      name);
	free(copy);
	if (!rc)
		rc = tidy(name, out, err);
	if (rc)
		trace_free(out);
	return rc;
}

void trace_free(struct trace *t)
{
	free(t->reqs);
	*t = (struct trace){0};
}

/* 0 or an errno value; *text is the caller's to free in any case. */
static int slurp(FILE *f, char **text, size_t *len)
{
	size_t room = 1 << 16, got;

	*text = NULL;
	*len = 0;
	do {
		char *more;

		room *= 2;
		more = room > TRACE_BYTES_MAX ? NULL : realloc(*text, room);
		if (!more)
			return ENOMEM;
		*text = more;
		got = fread(*text + *len, 1, room - *len, f);
		*len += got;
	} while (got && *len == room);
	return ferror(f) ? EIO : 0;
}

int trace_read(const char *path, struct trace *out, struct alc_err *err)
{
	FILE *f = fopen(path, "re");
	size_t len;
	char *text;
	int error, rc;

	if (!f)
		return alc_fail(err, -errno, "can't read the trace '%s': %s", path,
				strerror(errno));
	error = slurp(f, &text, &len);
	fclose(f);
	if (error)
		rc = alc_fail(err, -error, "can't read the trace '%s': %s", path, strerror(error));
	else
		rc = trace_parse(path, text, len, out, err);
	free(text);
	return rc;
}
