/*
 * A machine that waits at its first disk command. Up to there it knows nothing of its run: every run on this processor
 * begins alike, and it is four fifths of what a short one costs. Each connection to the machine's socket gets a copy of
 * it, a forked process that goes on with the disk and the files of a run of its own (tests/machine/run).
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bochs.h"
#include "cpu/cpu.h"

extern "C" {
#include "ports.h"
}

#define ENV_SERVE "MACHINE_SERVE" /* the socket to be made in the machine's directory; a machine without it just runs */
#define DISK      "disk.img"

/* What a connection asks for: three lines. */
struct request {
	char directory[PATH_MAX], disk[PATH_MAX], deadline[32];
};

static void fail(const char *what)
{
	perror(what);
	_exit(MACHINE_EXIT_BROKEN);
}

static void copy_content(const char *from, int to)
{
	char chunk[4096];
	ssize_t size;
	int file = open(from, O_RDONLY);

	while ((size = read(file, chunk, sizeof(chunk))) > 0)
		if (write(to, chunk, size) != size)
			fail(from);
	close(file);
}

/* The same descriptor, in Bochs' hands, is from now on another file: with what has been written, unless it is the disk. */
static void replace(int descriptor, const char *old, const char *path, bool is_disk)
{
	int file = is_disk ? open(path, O_RDWR) : open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);

	if (file < 0)
		fail(path);
	if (!is_disk && lseek(file, 0, SEEK_END) == 0)
		copy_content(old, file);
	if (dup2(file, descriptor) < 0)
		fail(path);
	close(file);
}

/* Everything open in the directory of the machine that waits. */
static void replace_files(const struct request *request)
{
	const char *own = getenv(ENV_DIRECTORY);
	char old[PATH_MAX], path[2 * PATH_MAX];
	DIR *descriptors = opendir("/proc/self/fd");

	while (struct dirent *entry = readdir(descriptors)) {
		ssize_t size = readlinkat(dirfd(descriptors), entry->d_name, old, sizeof(old) - 1);
		size_t length = strlen(own);

		if (size <= 0 || strncmp(old, own, length) || old[length] != '/')
			continue;
		old[size] = 0;
		bool is_disk = !strcmp(old + length + 1, DISK);
		snprintf(path, sizeof(path), "%s/%s", request->directory, old + length + 1);
		replace(atoi(entry->d_name), old, is_disk ? request->disk : path, is_disk);
	}
	closedir(descriptors);
}

static bool read_line(FILE *file, char *line, size_t size)
{
	if (!fgets(line, size, file))
		return false;
	line[strcspn(line, "\n")] = 0;
	return true;
}

/* In the copy. The connection stays open as long as it lives, so that its end can be seen at the other side. */
static void become(int connection)
{
	struct request request;
	FILE *file = fdopen(connection, "r+");

	signal(SIGCHLD, SIG_DFL);
	if (!read_line(file, request.directory, sizeof(request.directory)) ||
	    !read_line(file, request.disk, sizeof(request.disk)) ||
	    !read_line(file, request.deadline, sizeof(request.deadline)))
		_exit(MACHINE_EXIT_BROKEN);
	dprintf(connection, "%d\n", getpid());
	replace_files(&request);
	setenv(ENV_DIRECTORY, request.directory, 1);
	machine_set_deadline(strtoull(request.deadline, NULL, 0));
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int socket_made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (socket_made < 0 || bind(socket_made, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(socket_made, 64))
		fail(path);
	return socket_made;
}

/* What they took is then part of what this process took. */
static void bury(int)
{
	while (waitpid(-1, NULL, WNOHANG) > 0) {
	}
}

/* Returns in copies only. Whoever started the machine that waits takes it along when it dies. */
static void serve(const char *path)
{
	int listener = listen_at(path);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGCHLD, bury);
	for (;;) {
		int connection = accept(listener, NULL, NULL);

		if (connection >= 0 && fork() == 0) {
			close(listener);
			return become(connection);
		}
		close(connection);
	}
}

void machine_disk_command(void)
{
	static bool seen;
	const char *path = getenv(ENV_SERVE);

	if (path && !seen) {
		seen = true;
		serve(path);
	}
}
