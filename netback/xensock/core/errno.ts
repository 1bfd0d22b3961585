/**
 * Error numbers that the machine of sockets answers with: the protocol's own table where it has one, Linux's else
 * (xen/docs/misc/pvcalls.pandoc, "Error numbers"). What the hands answer is passed on as it is.
 */
export const Errno = {
  EINTR: 4,
  EBADF: 9,
  EAGAIN: 11,
  EACCES: 13,
  EEXIST: 17,
  EINVAL: 22,
  EMFILE: 24,
  ENOPROTOOPT: 92,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  ECONNRESET: 104,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  EALREADY: 114,
  EINPROGRESS: 115,
  /** What the table has besides Linux's: for commands, families and types that are not spoken. */
  ENOTSUP: 524,
} as const;
