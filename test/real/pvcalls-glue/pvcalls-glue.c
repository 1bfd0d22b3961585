// SPDX-License-Identifier: GPL-2.0
/*
 * Linux's PV Calls frontend for programs. The kernel's own file, pvcalls-front.c, exports none of its functions and nothing in the kernel
 * calls them; so it is included here as it is, and a device /dev/pvcalls hands the calls on, one open file for each socket. For tests only:
 * it trusts its one program, and a file is used by one thread at a time.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/in.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uio.h>

/* Its initialisation is called by ours. */
#undef module_init
#define module_init(function)
#include "pvcalls-front.c"

#include "pvcalls-glue.h"

static const struct file_operations glue_operations;

/* Gives a socket what the frontend keeps its own state in. */
static int glue_socket(struct socket *sock)
{
	int err;

	if (sock->sk)
		return -EISCONN;
	sock->sk = sk_alloc(&init_net, PF_INET, GFP_KERNEL, &pvcalls_proto, 0);
	if (!sock->sk)
		return -ENOMEM;
	err = pvcalls_front_socket(sock);
	if (err) {
		sk_free(sock->sk);
		sock->sk = NULL;
	}
	return err;
}

static int glue_addressed(struct socket *sock, unsigned int cmd, unsigned long arg)
{
	struct sockaddr_in address;

	if (copy_from_user(&address, (void __user *)arg, sizeof(address)))
		return -EFAULT;
	if (cmd == PVCALLS_GLUE_BIND)
		return pvcalls_front_bind(sock, (struct sockaddr *)&address, sizeof(address));
	return pvcalls_front_connect(sock, (struct sockaddr *)&address, sizeof(address), 0);
}

static int glue_accept(struct file *file, int fd)
{
	struct socket *sock = file->private_data, *newsock;
	struct fd other = fdget(fd);
	int err = -EBADF;

	if (!other.file)
		return err;
	if (other.file->f_op == &glue_operations) {
		newsock = other.file->private_data;
		err = newsock->sk ? -EISCONN :
			pvcalls_front_accept(sock, newsock, file->f_flags & O_NONBLOCK ? SOCK_NONBLOCK : 0);
	}
	fdput(other);
	return err;
}

static long glue_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct socket *sock = file->private_data;

	if (cmd == PVCALLS_GLUE_SOCKET)
		return glue_socket(sock);
	if (!sock->sk)
		return -ENOTSOCK;
	switch (cmd) {
	case PVCALLS_GLUE_CONNECT:
	case PVCALLS_GLUE_BIND:
		return glue_addressed(sock, cmd, arg);
	case PVCALLS_GLUE_LISTEN:
		return pvcalls_front_listen(sock, arg);
	case PVCALLS_GLUE_ACCEPT:
		return glue_accept(file, arg);
	}
	return -ENOTTY;
}

static bool glue_connected(struct socket *sock)
{
	struct sock_mapping *map = sock->sk ? (struct sock_mapping *)sock->sk->sk_send_head : NULL;

	/* Gone with the device, it is the frontend that says so. */
	return !map || map->active_socket;
}

static ssize_t glue_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct socket *sock = iocb->ki_filp->private_data;
	struct msghdr msg = { .msg_iter = *to };
	int flags = iocb->ki_filp->f_flags & O_NONBLOCK ? MSG_DONTWAIT : 0;
	int done;

	if (!sock->sk || !glue_connected(sock))
		return -ENOTCONN;
	done = pvcalls_front_recvmsg(sock, &msg, iov_iter_count(to), flags);
	*to = msg.msg_iter;
	return done;
}

static ssize_t glue_write(struct kiocb *iocb, struct iov_iter *from)
{
	struct socket *sock = iocb->ki_filp->private_data;
	struct msghdr msg = {
		.msg_iter = *from,
		.msg_flags = iocb->ki_filp->f_flags & O_NONBLOCK ? MSG_DONTWAIT : 0,
	};
	int done;

	if (!sock->sk || !glue_connected(sock))
		return -ENOTCONN;
	done = pvcalls_front_sendmsg(sock, &msg, iov_iter_count(from));
	*from = msg.msg_iter;
	return done;
}

static __poll_t glue_poll(struct file *file, poll_table *wait)
{
	struct socket *sock = file->private_data;

	return sock->sk ? pvcalls_front_poll(file, sock, wait) : EPOLLNVAL;
}

static int glue_open(struct inode *inode, struct file *file)
{
	struct socket *sock;
	int err = sock_create_lite(PF_INET, SOCK_STREAM, 0, &sock);

	if (err)
		return err;
	file->private_data = sock;
	return 0;
}

static int glue_release(struct inode *inode, struct file *file)
{
	struct socket *sock = file->private_data;

	if (sock->sk) {
		pvcalls_front_release(sock);
		sk_free(sock->sk);
		sock->sk = NULL;
	}
	sock_release(sock);
	return 0;
}

static const struct file_operations glue_operations = {
	.owner = THIS_MODULE,
	.open = glue_open,
	.release = glue_release,
	.read_iter = glue_read,
	.write_iter = glue_write,
	.poll = glue_poll,
	.unlocked_ioctl = glue_ioctl,
};

static struct miscdevice glue_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "pvcalls",
	.fops = &glue_operations,
};

int __init init_module(void)
{
	int err = pvcalls_frontend_init();

	if (err)
		return err;
	err = misc_register(&glue_device);
	if (err)
		xenbus_unregister_driver(&pvcalls_front_driver);
	return err;
}

void __exit cleanup_module(void)
{
	misc_deregister(&glue_device);
	xenbus_unregister_driver(&pvcalls_front_driver);
}
