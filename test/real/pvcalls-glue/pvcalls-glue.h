/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * How a program talks to pvcalls-glue.c. Each open /dev/pvcalls is a socket to be; a connected one is read, written and
 * polled as any file, a listening one is polled for connections.
 */
#ifndef PVCALLS_GLUE_H
#define PVCALLS_GLUE_H

#include <linux/ioctl.h>

#define PVCALLS_GLUE_SOCKET  _IO('v', 0)
/* The argument points at a struct sockaddr_in. */
#define PVCALLS_GLUE_CONNECT _IO('v', 1)
#define PVCALLS_GLUE_BIND    _IO('v', 2)
/* The argument is the backlog. */
#define PVCALLS_GLUE_LISTEN  _IO('v', 3)
/* The argument is another open /dev/pvcalls, nothing yet, which becomes the connection. */
#define PVCALLS_GLUE_ACCEPT  _IO('v', 4)

#endif
