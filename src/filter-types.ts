// Types of a filter: `where` of `entries` and `filter` of `search` are one and the same. docs/filters.md has every edge.
//
// Not here: evaluation, which is the core's.

/** A value that conditions compare with. Numbers are finite. */
export type Scalar = string | number | boolean | null

/**
 * What a value must fulfil: all that is given must hold, and for an array one element must fulfil all of it. A part that
 * is undefined counts as omitted; any other key is a TypeError.
 *
 * Values of different kinds (string, number, boolean, null, object) are not equal and have no order. A missing key and
 * an empty array have no value, which fulfils `ne` alone.
 */
export interface Condition {
  /** This value. */
  eq?: Scalar | undefined
  /** Fulfilled by no value at all too: add `exists: true` for "has another value". */
  ne?: Scalar | undefined
  /** One of these; of an empty list never. */
  in?: Scalar[] | undefined
  /** Above. Strings compare by UTF-16 code units, as JavaScript's `<` does; false is below true. */
  gt?: Scalar | undefined
  /** Above or equal. */
  gte?: Scalar | undefined
  /** Below. */
  lt?: Scalar | undefined
  /** Below or equal. */
  lte?: Scalar | undefined
  /** Whether the key is there, whatever it holds: null and an empty array exist. */
  exists?: boolean | undefined
  /** A string that begins so. */
  prefix?: string | undefined
}

/**
 * Which memories are meant: all that is given must hold, so `{}` means all. A part that is undefined counts as omitted;
 * any other key is a TypeError. At most 100 levels deep, 1,000 conditions and filters together, 16 MiB as JSON
 * (RangeError).
 */
export interface Filter {
  /**
   * By path: `'a.b'` is the key `b` inside `a`, or a key `'a.b'` itself; an array matches if one of its elements does.
   * A scalar is short for `{ eq: scalar }`. An undefined value is a TypeError, so that a variable that was not set does
   * not widen the filter.
   */
  metadata?: { [path: string]: Scalar | Condition } | undefined
  /** In milliseconds since the epoch. */
  createdAt?: Condition | undefined
  /** In milliseconds since the epoch, as it is when the memory is looked at: statistics are not part of a snapshot. */
  lastAccess?: Condition | undefined
  /** 0..1 */
  confidence?: Condition | undefined
  /** Such as `{ prefix: 'user-1/' }`. */
  id?: Condition | undefined
  /** Of an empty list: true. */
  and?: Filter[] | undefined
  /** Of an empty list: false. */
  or?: Filter[] | undefined
  /** Whatever this one does not mean. */
  not?: Filter | undefined
}
