/** The door for users of the package: the interfaces of a platform and the constants that go with them. */
export * from './attach.ts';
export * from './call.ts';
export * from './clock.ts';
export * from './ctrl.ts';
export * from './devicemodel.ts';
export * from './domid.ts';
export * from './errno.ts';
export * from './evtchn.ts';
export * from './foreignmemory.ts';
export * from './gntshr.ts';
export * from './gnttab.ts';
export * from './manage.ts';
export * from './mapping.ts';
export * from './platform.ts';
export * from './strerror.ts';
export * from './toolcore.ts';
export * from './toollog.ts';
