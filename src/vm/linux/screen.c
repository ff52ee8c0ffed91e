/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The screen in files: a thread writes them when asked through an eventfd, which a signal handler
 * may do too. A file is written beside its place and renamed, so that who reads it finds a whole
 * one; what is no regular file (a pipe) is written in place.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "display/linux/png.h"
#include "vm/linux/vm_linux.h"

struct screen {
	const struct alc_host *host;
	const struct alc_display *displays;
	size_t n;
	struct display_source source;
	struct display_image image;
	pthread_mutex_t lock; /* image, files */
	pthread_t thread;
	bool has_thread;
	_Atomic(bool) ending;
	int event_fd;
};

static int write_text(FILE *f, const struct display_image *image, struct alc_err *err)
{
	size_t size = display_text(image, NULL, 0), done;
	char *text = malloc(size + 1);

	if (!text)
		return alc_fail(err, -ENOMEM, "no memory for the text of the screen");
	display_text(image, text, size);
	done = fwrite(text, 1, size, f);
	free(text);
	return done == size ? 0 : alc_fail(err, -EIO, "can't write the text of the screen");
}

static int write_to(const char *path, const struct alc_display *d,
		    const struct display_image *image, struct alc_err *err)
{
	FILE *f = fopen(path, "we");
	int rc;

	if (!f) {
		rc = -errno;
		return alc_fail(err, rc, "can't write the screen to '%s': %s", path, strerror(-rc));
	}
	rc = d->kind == ALC_DISPLAY_PNG ? picture_write(f, image, err) : write_text(f, image, err);
	if (fclose(f) && !rc)
		rc = alc_fail(err, -errno, "can't write the screen to '%s'", path);
	return rc;
}

static bool is_special(const char *path)
{
	struct stat st;

	return !stat(path, &st) && !S_ISREG(st.st_mode);
}

static int write_file(const struct alc_display *d, const struct display_image *image,
		      struct alc_err *err)
{
	char part[PATH_MAX];
	int rc;

	if (is_special(d->path) ||
	    snprintf(part, sizeof(part), "%s.part", d->path) >= (int)sizeof(part))
		return write_to(d->path, d, image, err);
	rc = write_to(part, d, image, err);
	if (!rc && rename(part, d->path)) {
		rc = -errno;
		alc_fail(err, rc, "can't write the screen to '%s': %s", d->path, strerror(-rc));
	}
	if (rc)
		unlink(part);
	return rc;
}

void screen_write(struct screen *s)
{
	pthread_mutex_lock(&s->lock);
	s->source.draw(s->source.ctx, &s->image);
	for (size_t i = 0; i < s->n; i++) {
		struct alc_err err = {0};

		if (write_file(&s->displays[i], &s->image, &err))
			s->host->log(s->host->ctx, ALC_LOG_ERROR, err.text);
	}
	pthread_mutex_unlock(&s->lock);
}

static void *screen_main(void *arg)
{
	struct screen *s = arg;
	u64 count;

	for (;;) {
		ssize_t n = read(s->event_fd, &count, sizeof(count));

		if (atomic_load(&s->ending))
			return NULL;
		if (n == sizeof(count))
			screen_write(s);
	}
}

void screen_ask(struct screen *s)
{
	u64 one = 1;
	int before = errno;

	/* It fails only where very many are waiting to be taken already. */
	if (write(s->event_fd, &one, sizeof(one)) < 0)
		errno = before;
}

/* What can't be written at the end of a long run is better known at its beginning. */
static int check_path(const char *path, struct alc_err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666), rc;

	if (fd < 0 && errno != ENXIO) {
		rc = -errno;
		return alc_fail(err, rc, "can't write the screen to '%s': %s", path, strerror(-rc));
	}
	if (fd >= 0)
		close(fd);
	return 0;
}

static int make(struct screen *s, struct alc_err *err)
{
	int rc = 0;

	s->event_fd = eventfd(0, EFD_CLOEXEC);
	s->image.pixels = calloc(DISPLAY_PIXELS_MAX, sizeof(*s->image.pixels));
	s->image.cells = calloc(DISPLAY_CELLS_MAX, 1);
	if (s->event_fd < 0 || !s->image.pixels || !s->image.cells)
		return alc_fail(err, -ENOMEM, "no memory for a screen");
	for (size_t i = 0; !rc && i < s->n; i++)
		rc = check_path(s->displays[i].path, err);
	return rc;
}

int screen_open(const struct alc_host *host, const struct alc_desc *desc, struct screen **out,
		struct alc_err *err)
{
	struct screen *s;
	int rc;

	if (!desc->ndisplays)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return alc_fail(err, -ENOMEM, "no memory for a screen");
	s->host = host;
	s->displays = desc->displays;
	s->n = desc->ndisplays;
	pthread_mutex_init(&s->lock, NULL);
	rc = make(s, err);
	if (rc) {
		screen_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

int screen_start(struct screen *s, struct display_source source, struct alc_err *err)
{
	int rc;

	s->source = source;
	rc = -pthread_create(&s->thread, NULL, screen_main, s);
	if (rc)
		return alc_fail(err, rc, "can't start a thread for the screen: %s", strerror(-rc));
	s->has_thread = true;
	return 0;
}

void screen_close(struct screen *s)
{
	if (!s)
		return;
	if (s->has_thread) {
		atomic_store(&s->ending, true);
		screen_ask(s);
		pthread_join(s->thread, NULL);
	}
	if (s->event_fd >= 0)
		close(s->event_fd);
	free(s->image.pixels);
	free(s->image.cells);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
