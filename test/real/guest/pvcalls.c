/*
 * Programs of a guest over Linux's PV Calls frontend, by way of pvcalls-glue: what netcat would be. Each command prints its own outcome; an
 * error is a line with its number.
 *
 *   get ADDRESS PORT        prints what comes until the end
 *   put ADDRESS PORT        sends its standard input, and closes
 *   echo ADDRESS PORT KIB N sends that much on each of N connections at a time, and wants it all back
 *   many ADDRESS PORT N     N connections one after the other, a few bytes each way
 *   serve PORT N [KIB]      gives back what N connections send, many at a time; or sends so much to each and closes it
 *   hold ADDRESS PORT N     N idle connections and a listening socket at PORT + 1, until its standard input ends; then says what became of them
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "../pvcalls-glue/pvcalls-glue.h"

#define MOST 64
#define CHUNK (256 * 1024)

static char buffer[CHUNK];

static void fail(const char *what)
{
	printf("%s: error %d\n", what, errno);
	exit(1);
}

static int unused(void)
{
	int fd = open("/dev/pvcalls", O_RDWR | O_NONBLOCK);

	if (fd < 0)
		fail("open");
	return fd;
}

static int new_socket(void)
{
	int fd = unused();

	if (ioctl(fd, PVCALLS_GLUE_SOCKET) < 0)
		fail("socket");
	return fd;
}

static struct sockaddr_in address_of(const char *ip, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, ip, &address.sin_addr) != 1) {
		errno = EINVAL;
		fail(ip);
	}
	return address;
}

static int connected(const char *ip, int port)
{
	struct sockaddr_in address = address_of(ip, port);
	int fd = new_socket();

	if (ioctl(fd, PVCALLS_GLUE_CONNECT, &address) < 0)
		fail("connect");
	return fd;
}

static int listening(int port, int backlog)
{
	struct sockaddr_in address = address_of("0.0.0.0", port);
	int fd = new_socket();

	if (ioctl(fd, PVCALLS_GLUE_BIND, &address) < 0)
		fail("bind");
	if (ioctl(fd, PVCALLS_GLUE_LISTEN, backlog) < 0)
		fail("listen");
	return fd;
}

static void until(int fd, short events)
{
	struct pollfd one = { .fd = fd, .events = events };

	if (poll(&one, 1, -1) < 0)
		fail("poll");
}

/* Someone waits at a listening socket, so accept need not. */
static int accepted(int listener)
{
	int fd = unused(), flags = fcntl(listener, F_GETFL);

	fcntl(listener, F_SETFL, flags & ~O_NONBLOCK);
	if (ioctl(listener, PVCALLS_GLUE_ACCEPT, fd) < 0)
		fail("accept");
	fcntl(listener, F_SETFL, flags);
	return fd;
}

/* What could be read or written; 0: nothing yet, for writing; -1: nothing yet, for reading, whose 0 is the end. */
static ssize_t some(ssize_t done, const char *what)
{
	if (done < 0 && errno != EAGAIN)
		fail(what);
	return done;
}

static void put_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t done = some(write(fd, bytes, length), "write");

		if (done <= 0) {
			until(fd, POLLOUT);
			continue;
		}
		bytes += done;
		length -= done;
	}
}

static void get(int fd)
{
	for (;;) {
		ssize_t done = some(read(fd, buffer, CHUNK), "read");

		if (done == 0)
			return;
		if (done < 0)
			until(fd, POLLIN);
		else if (fwrite(buffer, 1, done, stdout) != (size_t)done)
			fail("stdout");
	}
}

static void put(int fd)
{
	ssize_t done;

	while ((done = read(0, buffer, CHUNK)) > 0)
		put_all(fd, buffer, done);
}

/* The byte at each place of a connection's stream: never the same for two connections or two chunks. */
static char byte_at(int connection, size_t place)
{
	uint64_t mixed = (place + 1) * 0x9e3779b97f4a7c15u + connection * 0xbf58476d1ce4e5b9u;

	return mixed >> 56;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

struct stream {
	size_t sent, got;
};

static void echo(const char *ip, int port, size_t bytes, int count)
{
	struct pollfd ends[MOST];
	struct stream streams[MOST] = { 0 };
	double begun = now();
	int left = count;

	for (int i = 0; i < count; i++)
		ends[i] = (struct pollfd){ .fd = connected(ip, port), .events = POLLIN | POLLOUT };
	while (left > 0) {
		if (poll(ends, count, -1) < 0)
			fail("poll");
		for (int i = 0; i < count; i++) {
			struct stream *stream = &streams[i];

			if (ends[i].revents & POLLOUT && stream->sent < bytes) {
				size_t length = bytes - stream->sent < CHUNK ? bytes - stream->sent : CHUNK;
				ssize_t done;

				for (size_t at = 0; at < length; at++)
					buffer[at] = byte_at(i, stream->sent + at);
				done = some(write(ends[i].fd, buffer, length), "write");
				stream->sent += done > 0 ? done : 0;
				if (stream->sent == bytes)
					ends[i].events = POLLIN;
			}
			if (ends[i].revents & POLLIN) {
				ssize_t done = some(read(ends[i].fd, buffer, CHUNK), "read");

				if (done == 0) {
					printf("ended after %zu\n", stream->got);
					exit(1);
				}
				for (ssize_t at = 0; at < done; at++)
					if (buffer[at] != byte_at(i, stream->got + at)) {
						printf("wrong byte %zu\n", stream->got + at);
						exit(1);
					}
				stream->got += done > 0 ? done : 0;
				if (stream->got == bytes) {
					close(ends[i].fd);
					ends[i].fd = -1;
					left--;
				}
			}
		}
	}
	printf("%d streams of %zu bytes came back in %.2f s\n", count, bytes, now() - begun);
}

static void many(const char *ip, int port, int count)
{
	double begun = now();

	for (int i = 0; i < count; i++) {
		char said[24] = "", heard[sizeof(said)];
		size_t got = 0;
		int fd = connected(ip, port);

		snprintf(said, sizeof(said), "connection %04d", i);
		put_all(fd, said, sizeof(said));
		while (got < sizeof(said)) {
			ssize_t done = some(read(fd, heard + got, sizeof(said) - got), "read");

			if (done == 0) {
				printf("connection %d ended\n", i);
				exit(1);
			}
			if (done < 0)
				until(fd, POLLIN);
			else
				got += done;
		}
		if (memcmp(said, heard, sizeof(said))) {
			printf("connection %d heard something else\n", i);
			exit(1);
		}
		close(fd);
	}
	printf("%d connections in %.2f s\n", count, now() - begun);
}

/* What a connection sends comes back to it; nothing is read that there is no room for. */
struct peer {
	char bytes[65536];
	size_t from, to;
};

static void serve(int port, int count, size_t give)
{
	static struct peer peers[MOST];
	struct pollfd ends[MOST + 1];
	int there = 0, ended = 0, seen = 0;

	ends[MOST] = (struct pollfd){ .fd = listening(port, 16), .events = POLLIN };
	for (int i = 0; i < MOST; i++)
		ends[i].fd = -1;
	printf("serving\n");
	fflush(stdout);
	while (ended < count) {
		if (poll(ends, MOST + 1, -1) < 0)
			fail("poll");
		if (ends[MOST].revents & POLLIN) {
			int i = 0;

			while (ends[i].fd >= 0)
				i++;
			ends[i] = (struct pollfd){ .fd = accepted(ends[MOST].fd), .events = POLLIN };
			peers[i].from = peers[i].to = 0;
			seen++;
			if (++there == MOST || seen == count)
				ends[MOST].events = 0;
			if (give > 0) {
				for (size_t at = 0; at < give; at += CHUNK) {
					size_t length = give - at < CHUNK ? give - at : CHUNK;

					for (size_t k = 0; k < length; k++)
						buffer[k] = byte_at(0, at + k);
					put_all(ends[i].fd, buffer, length);
				}
				close(ends[i].fd);
				ends[i].fd = -1;
				there--;
				ended++;
			}
			continue;
		}
		for (int i = 0; i < MOST; i++) {
			struct peer *peer = &peers[i];
			ssize_t done;

			if (ends[i].fd < 0)
				continue;
			if (ends[i].revents & POLLIN && peer->to == peer->from) {
				done = read(ends[i].fd, peer->bytes, sizeof(peer->bytes));
				peer->from = 0;
				peer->to = done > 0 ? done : 0;
			} else if (peer->to > peer->from) {
				done = write(ends[i].fd, peer->bytes + peer->from, peer->to - peer->from);
				peer->from += done > 0 ? done : 0;
				done = done == 0 ? 1 : done;
			} else {
				continue;
			}
			if (done == 0 || (done < 0 && errno != EAGAIN)) {
				if (done < 0)
					printf("a connection: error %d\n", errno);
				fflush(stdout);
				close(ends[i].fd);
				ends[i].fd = -1;
				there--;
				ended++;
				if (seen < count)
					ends[MOST].events = POLLIN;
				continue;
			}
			ends[i].events = peer->to > peer->from ? POLLOUT : POLLIN;
		}
	}
	printf("served %d\n", ended);
}

static void hold(const char *ip, int port, int count)
{
	int fds[MOST], listener = listening(port + 1, 4);
	struct pollfd one = { .fd = listener, .events = POLLIN };
	char byte = 'x';

	for (int i = 0; i < count; i++)
		fds[i] = connected(ip, port);
	/* The frontend asks the backend, and goes on waiting. */
	poll(&one, 1, 0);
	printf("holding %d\n", count);
	fflush(stdout);
	while (read(0, buffer, CHUNK) > 0)
		;
	for (int i = 0; i < count; i++) {
		ssize_t got = read(fds[i], &byte, 1);
		int how = got < 0 ? errno : 0;
		ssize_t put = write(fds[i], &byte, 1);

		printf("read %zd %d write %zd %d\n", got, how, put, put < 0 ? errno : 0);
		close(fds[i]);
	}
	close(listener);
	printf("let go\n");
}

int main(int argc, char **argv)
{
	const char *command = argc > 2 ? argv[1] : "";
	const char *ip = argv[2];
	int port = argc > 3 ? atoi(argv[3]) : 0;
	int count = argc > 4 ? atoi(argv[argc - 1]) : 0;

	setvbuf(stdout, NULL, _IOFBF, CHUNK);
	if (!strcmp(command, "serve") && argc > 3)
		serve(atoi(argv[2]), port, argc > 4 ? (size_t)count * 1024 : 0);
	else if (!strcmp(command, "get"))
		get(connected(ip, port));
	else if (!strcmp(command, "put"))
		put(connected(ip, port));
	else if (count < 1 || count > (strcmp(command, "many") ? MOST : 100000))
		fail("arguments");
	else if (!strcmp(command, "echo") && argc > 5)
		echo(ip, port, (size_t)atoi(argv[4]) * 1024, count);
	else if (!strcmp(command, "many"))
		many(ip, port, count);
	else if (!strcmp(command, "hold"))
		hold(ip, port, count);
	else
		fail("command");
	return 0;
}
