// What a value is: for the checks of this package and for the messages of its errors.

/** Names a value in a message, without printing what may be huge. */
export function describe(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return value.length > 40 ? 'a long string' : JSON.stringify(value)
  if (typeof value === 'undefined') return 'undefined'
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`
}

/** Plain in any realm: no prototype, or one that has none itself and is an Object.prototype. */
export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return true
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, 'isPrototypeOf')
}
