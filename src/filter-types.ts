// Types of a filter: `where` of `entries` and `filter` of `search` are one and the same.
//
// Not here: evaluation. Until it exists both options throw THERMOCLINE_NOT_SUPPORTED and are never ignored.

export type Scalar = string | number | boolean | null

/** What one value must fulfil: all that is given must hold. */
export interface Condition {
  eq?: Scalar | undefined
  ne?: Scalar | undefined
  in?: Scalar[] | undefined
  gt?: Scalar | undefined
  gte?: Scalar | undefined
  lt?: Scalar | undefined
  lte?: Scalar | undefined
  exists?: boolean | undefined
  prefix?: string | undefined
}

/** Which memories are meant: all that is given must hold. */
export interface Filter {
  /** By path: `'a.b'` is the key `b` inside `a`; an array matches if one of its elements does. */
  metadata?: { [path: string]: Scalar | Condition } | undefined
  createdAt?: Condition | undefined
  lastAccess?: Condition | undefined
  confidence?: Condition | undefined
  id?: Condition | undefined
  and?: Filter[] | undefined
  or?: Filter[] | undefined
  not?: Filter | undefined
}
