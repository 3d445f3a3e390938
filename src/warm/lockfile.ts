// The one place that loads proper-lockfile.

/**
 * Loaded at need: it listens to signals, which a program that makes no copies and moves nothing should not notice. Not by
 * import(): of a worker that is terminated while Node's loader reads a module, the module's descriptor stays open.
 */
export function loadLockfile(): typeof import('proper-lockfile') {
  return require('proper-lockfile') as typeof import('proper-lockfile')
}
