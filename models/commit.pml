/* Claim, commit, apply, takeover, rotation and index generations as native/core/store does them, one statement for
 * each access to a word that somebody else may see. docs/concurrency.md says what is argued and what is left out.
 *
 * Two writers, a process that grows the index, a reader, a killer, and a judge who looks when all have stopped.
 * Sequentially consistent. models/check.mjs runs the configurations and the planted faults (F_...).
 *
 * Merged into one statement because nobody else can tell: what is done under the write lock on words that only its
 * holder changes (the plan), bytes past the tail (the frame), an unpublished table (catching up), a slot's record and
 * born, and a snapshot's scan, whose two verdicts on each slot are checked apart.
 */

#ifndef OPS
#define OPS 2        /* operations of each writer */
#endif
#ifndef RECORDS
#define RECORDS 1    /* in each frame; 2: both of the same id */
#endif
#ifndef SLOTS
#define SLOTS 2      /* of each segment */
#endif
#ifndef SEGMENTS
#define SEGMENTS 4
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef REJOINS
#define REJOINS 0    /* killed processes that start again under the same participant number */
#endif
#ifndef IDS
#define IDS 2
#endif
#ifndef GETS
#define GETS 2       /* of the reader, of one id; SNAPSHOT: and a snapshot after them */
#endif
#ifndef GROWERS
#define GROWERS 0
#endif
#define WRITERS 2

#define MOST (2 * OPS * RECORDS)                       /* records there can be */
#define PLACES (MOST + 1)                              /* of a log, its end included */
#define POSITION(segment, place) (1 + (segment) * PLACES + (place))
#define SEGMENT_OF(position) (((position) - 1) / PLACES)
#define POSITIONS (1 + SEGMENTS * PLACES)
#define GROWER 3                                       /* participants: 1 and 2 write, 3 grows the index */

/* Boot words. Positions and slots count from 1; 0 is none. */
byte applied, tail, last_frame, size, list_generation;
byte claim_segment, claim_slot;                        /* one word: always read and written together */
bit index_generation;
byte cell[4];                                          /* generation * 2 + id */
byte born[SEGMENTS * SLOTS + 1], died[SEGMENTS * SLOTS + 1], record_of[SEGMENTS * SLOTS + 1];

/* The logs, by position. */
byte r_sequence[POSITIONS], r_slot[POSITIONS], r_previous[POSITIONS];
bit r_id[POSITIONS], r_delete[POSITIONS];
byte f_previous[POSITIONS], f_memories[POSITIONS];     /* of a frame: at its first record */

/* The file meta, and the list that each process holds. */
byte meta_segments = 1, meta_generation;
byte held_segments[5] = 1, held_generation[5];

/* Session words and the kernel's locks. A lock word is participant * 4 + incarnation, 0 free. */
byte write_lock, growth_lock;
bit alive[5];
byte incarnation[5];
#define WORD(me) ((me) * 4 + incarnation[me])
#define LIVES(word) (alive[(word) / 4] && incarnation[(word) / 4] == (word) % 4)

/* Ghosts. */
byte committed;                                        /* last sequence whose tail has moved */
byte position_of[MOST + 1];                            /* by sequence */
byte slot_taken[SEGMENTS * SLOTS + 1];                 /* by a committed record */
byte kills, rejoins, stopped;

/* Newest sequence of an id up to `limit`, 0: none. */
inline newest_of(id, limit, result) {
    i = 1; result = 0;
    do
    :: i <= limit -> if :: r_id[position_of[i]] == id -> result = i :: else fi; i++
    :: else -> break
    od;
    i = 0
}

/* SharedLock::Acquire. A live owner is waited for; the word of a dead one is replaced by CAS from what was seen. */
#if defined(F_STEAL)
#define TAKEABLE(word, me) ((word) != 0 && (word) != WORD(me))
#elif defined(F_SELF_BY_NUMBER)
#define TAKEABLE(word, me) ((word) != 0 && (word) / 4 != (me) && !LIVES(word))
#else
#define TAKEABLE(word, me) ((word) != 0 && (word) != WORD(me) && !LIVES(word))
#endif
#ifdef F_NO_INCARNATION
#define SAME_WORD(word, seen) ((word) / 4 == (seen) / 4)
#else
#define SAME_WORD(word, seen) ((word) == (seen))
#endif

inline acquire(word, me, from_dead) {
    do
    :: atomic { word == 0 -> word = WORD(me); from_dead = 0; break }
    :: atomic { TAKEABLE(word, me) -> seen = word };
       atomic {
           if
           :: SAME_WORD(word, seen) ->
              assert(!LIVES(word));                    /* a live owner's lock is never taken */
              word = WORD(me); from_dead = 1; seen = 0; break
           :: else -> seen = 0
           fi
       }
    od
}

/* Step 7 for one record: ApplyPlanned and ApplyFrame store the same. Then steps 7 (rest) and 8 for its frame. */
inline apply_record(at) {
    if
    :: !r_delete[at] -> d_step { record_of[r_slot[at]] = at; born[r_slot[at]] = r_sequence[at] }
    :: else
    fi;
    cell[index_generation * 2 + r_id[at]] = at;
    if
    :: r_previous[at] != 0 && !r_delete[r_previous[at]] -> died[r_slot[r_previous[at]]] = r_sequence[at]
    :: else
    fi
}
#if RECORDS == 2
#define APPLY_RECORDS(at) apply_record(at); apply_record((at + 1))
#else
#define APPLY_RECORDS(at) apply_record(at)
#endif
#define LAST_SEQUENCE(at) (r_sequence[at] + RECORDS - 1)

inline apply_frame(at) {
#ifdef F_APPLIED_FIRST
    applied = LAST_SEQUENCE(at);
#endif
#ifdef F_LAST_FRAME_FIRST
    last_frame = at;
#endif
    APPLY_RECORDS(at);
    size = f_memories[at];
    last_frame = at;
    applied = LAST_SEQUENCE(at)
}

inline repair_frame(at) {
#ifdef F_INCREMENT
    APPLY_RECORDS(at);
    size = size + (r_previous[at] == 0 || r_delete[r_previous[at]]) - r_delete[at];
    last_frame = at;
    applied = LAST_SEQUENCE(at)
#elif defined(F_REPAIR_SKIPS)
    if
    :: cell[index_generation * 2 + r_id[at]] == at -> size = f_memories[at]; last_frame = at; applied = LAST_SEQUENCE(at)
    :: else -> apply_frame(at)
    fi
#else
    apply_frame(at)
#endif
}

/* Store::Repair. `last_frame` was stored after everything of its frame but `applied`. */
inline repair(at) {
#ifndef F_NO_REPAIR
    if
    :: tail != 0 ->
       at = last_frame;
       if
       :: at != 0 ->
#if defined(F_REAPPLY)
          repair_frame(at);                            /* always */
#elif defined(F_REAPPLY_INVISIBLE)
          if :: LAST_SEQUENCE(at) > applied -> repair_frame(at) :: else fi;
#elif !defined(F_SKIP_LAST_FRAME)
          applied = LAST_SEQUENCE(at);
#endif
          skip
       :: else
       fi;
       d_step {
           if
           :: at == 0 || SEGMENT_OF(at) != SEGMENT_OF(tail) -> at = POSITION(SEGMENT_OF(tail), 0)
           :: else -> at = at + RECORDS
           fi
       };
       do
       :: at < tail -> repair_frame(at); at = at + RECORDS
       :: else -> break
       od;
       at = 0
    :: else
    fi
#else
    skip
#endif
}

inline lock_write(me, at) {
    acquire(write_lock, me, from_dead);
    if
    :: from_dead -> from_dead = 0; repair(at)
    :: else
    fi
}

/* Store::LockGrowth: nothing to repair, for whoever creates a segment begins with NewestList. */
inline lock_growth(me) {
    acquire(growth_lock, me, from_dead);
    from_dead = 0
}

/* Store::CurrentList: a list newer than the generation is right. */
inline current_list(me) {
    d_step {
        if
        :: held_generation[me] < list_generation ->
           held_segments[me] = meta_segments; held_generation[me] = meta_generation
        :: else
        fi
    }
}

/* Store::NewestList: a dead owner may have renamed a new list in without publishing its generation. */
inline newest_list(me) {
#if defined(F_LIST_HELD)
    skip
#elif defined(F_LIST_NOT_PUBLISHED)
    current_list(me)
#else
    d_step { held_segments[me] = meta_segments; held_generation[me] = meta_generation };
    if
    :: list_generation < held_generation[me] -> list_generation = held_generation[me]
    :: else
    fi
#endif
}

/* Store::Rotate and CreateNextSegment. */
inline rotate(me, from) {
    lock_growth(me);
    if
    :: claim_segment == from ->
       newest_list(me);
       if
       :: held_segments[me] <= from + 1 && from + 1 < SEGMENTS ->
          d_step {                                     /* the rename */
              /* files of a segment that the list names are never replaced, and no segment leaves the list */
              assert(meta_segments == held_segments[me]);
              held_segments[me]++; held_generation[me]++;
              meta_segments = held_segments[me]; meta_generation = held_generation[me]
          };
          list_generation = meta_generation
       :: else
       fi;
       if
       :: d_step { from + 1 < SEGMENTS -> claim_segment = from + 1; claim_slot = 0 }
       :: d_step { from + 1 == SEGMENTS -> refused = 1 }      /* no room on the disk: the put fails */
       fi
    :: else
    fi;
    growth_lock = 0
}

/* Step 5, one record. */
inline plan_record(place, record_slot, record_delete, record_previous, record_sequence) {
    r_id[place] = id;
    r_delete[place] = record_delete;
    r_slot[place] = (record_delete -> 0 : record_slot);
    r_previous[place] = record_previous;
    r_sequence[place] = record_sequence
}

inline move_tail(at) {
    d_step {
        assert(tail < at + RECORDS);                   /* commit order is list order, then log order */
        tail = at + RECORDS;
        i = 0;
        do
        :: i < RECORDS ->
           committed++;
#ifndef F_TAIL_FIRST
           assert(r_sequence[at + i] == committed);    /* gapless */
#endif
           position_of[committed] = at + i;
           if
           :: r_slot[at + i] != 0 ->
              assert(!slot_taken[r_slot[at + i]]);     /* no two committed records share a slot */
              slot_taken[r_slot[at + i]] = 1
           :: else
           fi;
           i++
        :: else -> break
        od;
        i = 0
    }
}

/* The kernel takes a killed process's locks and words away with it; what it stored in shared words stays. */
chan kill[5] = [0] of { bit };

#define NEEDED (RECORDS - (RECORDS == 2 && remove))     /* slots; of two records: a put, then a put or a deletion */

proctype writer(byte me) {
    byte op, segment, slot, at, seen, previous, i;
    bit id, remove, from_dead, present, refused;
start:
    {
        do
        :: atomic {
               op < OPS -> op++;
               id = (me + op) % IDS;
               if :: remove = 0 :: remove = 1 fi
           };
claim:
           if
           :: atomic { RECORDS == 1 && remove }
           :: atomic {
                  RECORDS == 2 || !remove ->               /* step 2 */
                  segment = claim_segment; slot = claim_slot;
#ifndef F_RACY_CLAIM
                  if
                  :: claim_slot <= SLOTS -> claim_slot = claim_slot + NEEDED
                  :: else                                  /* past the end: how far does not matter */
                  fi
#endif
              };
#ifdef F_RACY_CLAIM
              atomic { if :: segment == claim_segment -> claim_slot = slot + NEEDED :: else fi };
#endif
              if
              :: atomic { slot + NEEDED > SLOTS -> slot = 0 }; rotate(me, segment);
                 if
                 :: atomic { refused -> refused = 0; segment = 0; remove = 0; id = 0; goto start }
                 :: atomic { !refused -> segment = 0; goto claim }
                 fi
              :: slot + NEEDED <= SLOTS
              fi
           fi;
           lock_write(me, at);                             /* step 4 */
           if
#ifndef F_NO_SEGMENT_CHECK
           :: atomic {
                  (RECORDS == 2 || !remove) && segment != claim_segment ->
                  write_lock = 0; segment = 0; slot = 0
              };
              goto claim
           :: atomic {
                  (RECORDS == 1 && remove) || segment == claim_segment ->
#else
           :: atomic {
#endif
                  if :: RECORDS == 1 && remove -> segment = claim_segment :: else fi;
                  at = ((tail != 0 && SEGMENT_OF(tail) == segment) -> tail : POSITION(segment, 0));
                  previous = cell[index_generation * 2 + id];
                  present = (previous != 0 && !r_delete[previous]);
                  slot = segment * SLOTS + slot + 1;
                  segment = 0
              };
              if
              :: atomic { RECORDS == 1 && remove && !present -> skip }   /* nothing takes effect */
              :: atomic {
                     RECORDS == 2 || !remove || present ->
#ifdef F_TAIL_FIRST
                     move_tail(at)
                 };
                 atomic {
#endif
                     /* Step 5: bytes past the tail are nobody's, so that nobody sees it apart from 6. */
#if RECORDS == 1
                     plan_record(at, slot, remove, previous, applied + 1);
                     f_memories[at] = size + (!remove && !present) - remove;
#else
                     plan_record(at, slot, 0, previous, applied + 1);
#ifdef F_PREVIOUS_FROM_INDEX
                     plan_record((at + 1), (slot + 1), remove, previous, applied + 2);
#else
                     plan_record((at + 1), (slot + 1), remove, at, applied + 2);
#endif
                     f_memories[at] = size + !present - remove;
#endif
                     f_previous[at] = last_frame;
                     previous = 0; present = 0; slot = 0; id = 0; remove = 0;
#ifndef F_TAIL_FIRST
                     move_tail(at)                         /* step 6: COMMIT */
#endif
                 };
                 apply_frame(at)                           /* steps 7 and 8: VISIBLE */
              fi
           fi;
           atomic {
               at = 0; previous = 0; present = 0; slot = 0; id = 0; remove = 0;
               write_lock = 0                              /* step 9 */
           }
        :: atomic { op == OPS -> stopped++; goto done }
        od
    } unless {
        atomic {
            kill[me]?_ ->
            alive[me] = 0; kills++;
            segment = 0; slot = 0; at = 0; seen = 0; previous = 0; id = 0; remove = 0; from_dead = 0; present = 0;
            refused = 0; i = 0;
            if :: REJOINS == 0 -> op = OPS; stopped++; goto done :: else fi
        }
    };
    if
    :: atomic {
           op < OPS && rejoins < REJOINS ->                /* JoinSession: the first free byte is the dead one's */
           rejoins++; incarnation[me]++; held_segments[me] = meta_segments; held_generation[me] = meta_generation;
           alive[me] = 1; goto start
       }
    :: atomic { stopped++; op = OPS }
    fi;
done:
    skip
}

/* CatchUpIndex: back along the chain of frames; the first record met of an id is its newest. Table unpublished. */
inline catch_up() {
    d_step {
        at = last_frame; met[0] = 0; met[1] = 0;
        do
        :: at != 0 && at != caught_up ->
#if RECORDS == 2
           if :: !met[r_id[at + 1]] -> met[r_id[at + 1]] = 1; cell[2 + r_id[at + 1]] = at + 1 :: else fi;
#endif
           if :: !met[r_id[at]] -> met[r_id[at]] = 1; cell[2 + r_id[at]] = at :: else fi;
           at = f_previous[at]
        :: else -> break
        od;
        caught_up = last_frame; at = 0; met[0] = 0; met[1] = 0
    }
}

/* GrowIndexLocked, from generation 0 to 1. */
proctype grower() {
    byte at, caught_up, seen, i;
    bit met[2], from_dead;
start:
    {
        lock_growth(GROWER);
        if
        :: atomic { index_generation == 0 ->
           cell[2] = 0; cell[3] = 0; caught_up = last_frame };
           cell[2] = cell[0];
           cell[3] = cell[1];
           catch_up();
#ifdef F_PUBLISH_EARLY
           index_generation = 1;
#endif
           lock_write(GROWER, at);
#ifndef F_PUBLISH_EARLY
           catch_up();
           index_generation = 1;
#else
           catch_up();
#endif
           d_step { caught_up = 0; write_lock = 0 };
           cell[0] = 0;                                /* the old one's space is given back */
           cell[1] = 0
        :: else
        fi;
        atomic { growth_lock = 0; stopped++; goto done }
    } unless {
        atomic {
            kill[GROWER]?_ ->
            alive[GROWER] = 0; kills++;
            at = 0; caught_up = 0; seen = 0; met[0] = 0; met[1] = 0; from_dead = 0; i = 0;
            if :: REJOINS == 0 -> stopped++; goto done :: else fi
        }
    };
    if
    :: atomic {
           rejoins < REJOINS ->
           rejoins++; incarnation[GROWER]++; held_segments[GROWER] = meta_segments;
           held_generation[GROWER] = meta_generation; alive[GROWER] = 1; goto start
       }
    :: atomic { stopped++ }
    fi;
done:
    skip
}

#define READER 4
/* FindOnce: the version is the newest of some moment of the call, and never older than the one before. */
inline check_version() {
    version = (at == 0 -> 0 : r_sequence[at]);
    assert(at == 0 || r_id[at] == id);
    assert(version <= applied);                        /* nothing uncommitted, nothing that is not visible yet */
    newest_of(id, begun, expected);
    assert(version >= expected);                       /* nothing that had been replaced before the call */
    assert(version >= version_before);                 /* never back */
    assert(version % RECORDS == 0);                    /* nothing from the middle of a frame */
    version_before = version;
    at = 0; begun = 0; version = 0; expected = 0; generation = 0; count++
}

#ifdef F_APPLIED_ANEW
#define VISIBLE applied
#else
#define VISIBLE begun
#endif

inline get() {
    begun = applied;
    generation = index_generation;
    do
    :: at = cell[generation * 2 + id];
       if
#ifndef F_MISS_BELIEVED
       :: atomic { at == 0 && index_generation != generation -> generation = index_generation }
       :: atomic { at == 0 && index_generation == generation -> check_version(); break }
#else
       :: atomic { at == 0 -> check_version(); break }
#endif
#ifdef F_IGNORE_APPLIED
       :: atomic { at != 0 -> check_version(); break }
#else
       :: atomic { at != 0 && r_sequence[at] <= VISIBLE -> check_version(); break }
       :: atomic { at != 0 && r_sequence[at] > VISIBLE -> at = r_previous[at] };
          do
          :: atomic { at != 0 && r_sequence[at] > VISIBLE -> at = r_previous[at] }
          :: atomic { at == 0 || r_sequence[at] <= VISIBLE -> check_version(); break }
          od;
          break
#endif
       fi
    od
}

/* Once taken: whether the parts hold the slot of each record up to the sequence that is still its id's newest. */
inline check_parts() {
    list = 1;
    do
    :: list <= snapshot ->
       at = position_of[list];
       newest_of(r_id[at], snapshot, expected);
       assert(r_slot[at] == 0 || expected != list || (SEGMENT_OF(at) < held_segments[READER] &&
              (SEGMENT_OF(at) < open_segment ||
               (SEGMENT_OF(at) == open_segment && (r_slot[at] - 1) % SLOTS < open_slot))));
       list++
    :: else -> break
    od;
    list = 0; at = 0; expected = 0; open_segment = 0; open_slot = 0
}

/* TakeSnapshot, then Holds for each slot, against the state after its sequence. */
inline take_snapshot() {
    do
    :: list = list_generation;
       current_list(READER);
       /* The claim word is loaded later; by then it only lets more slots in, which born decides about. */
       d_step { snapshot = applied; open_segment = claim_segment; open_slot = claim_slot };
       if
#ifndef F_NO_SECOND_LOOK
       :: atomic { list_generation != list -> list = 0; snapshot = 0; open_segment = 0; open_slot = 0 }
       :: atomic { list_generation == list -> check_parts(); break }
#else
       :: atomic { true -> check_parts(); break }
#endif
       fi
    od;
    skip;
    d_step {                                           /* at any time after */
        list = 1;
        do
        :: list <= snapshot ->
           at = position_of[list];
           newest_of(r_id[at], snapshot, expected);
           if
           :: r_slot[at] != 0 ->
              assert(record_of[r_slot[at]] == at && born[r_slot[at]] == list);
              assert((died[r_slot[at]] == 0 || died[r_slot[at]] > snapshot) == (expected == list))
           :: else
           fi;
           list++
        :: else -> break
        od;
        list = 1;
        do
        :: list <= SEGMENTS * SLOTS ->                 /* and no slot of a later record, or of none */
           assert(born[list] == 0 || born[list] > snapshot || position_of[born[list]] == record_of[list]);
           list++
        :: else -> break
        od;
        list = 0; snapshot = 0; at = 0; expected = 0
    }
}

proctype reader() {
    byte at, begun, version, version_before, expected, list, snapshot, open_segment, open_slot, i, count;
    bit id, generation;
#if GETS > 0
    if :: id = 0 :: IDS > 1 -> id = 1 fi;
    do
    :: count < GETS -> get()
    :: count == GETS -> break
    od;
    skip;
    d_step { count = 0; id = 0; version_before = 0 };
#endif
#ifdef SNAPSHOT
    take_snapshot()
#endif
}

#if GROWERS
#define KILL if :: kill[1]!0 :: kill[2]!0 :: kill[GROWER]!0 fi
#else
#define KILL if :: kill[1]!0 :: kill[2]!0 fi
#endif
proctype killer() {
end_first:
    KILL;
#if KILLS > 1
end_second:
    KILL
#endif
}

/* When all have stopped: one more takeover if the lock is a dead one's, then every word against the log. */
inline judge() {
    d_step {
        assert(applied == committed);
        list = 0; count = 0;
        do
        :: list < IDS ->
           newest_of(list, committed, expected);
           assert(cell[index_generation * 2 + list] == position_of[expected]);
           if :: expected != 0 -> count = count + !r_delete[position_of[expected]] :: else fi;
           list++
        :: else -> break
        od;
        assert(size == count);
        list = 1;
        do
        :: list <= committed ->
           at = position_of[list];
           assert(r_sequence[at] == list);
           if
           :: r_slot[at] != 0 ->
              assert(born[r_slot[at]] == list && record_of[r_slot[at]] == at);
              /* died: the next record of the id, or 0 */
              i = list + 1;
              do
              :: i <= committed && r_id[position_of[i]] != r_id[at] -> i++
              :: else -> break
              od;
              assert(died[r_slot[at]] == (i <= committed -> i : 0))
           :: else
           fi;
           list++
        :: else -> break
        od;
        count = 0; list = 1;
        do
        :: list <= SEGMENTS * SLOTS -> count = count + (born[list] != 0) - slot_taken[list]; list++
        :: else -> break
        od;
        assert(count == 0)
    }
}

init {
    byte at, seen, i, list, count, expected;
    bit from_dead;
    atomic {
        alive[1] = 1; alive[2] = 1; alive[GROWER] = 1; alive[READER] = 1;
        run writer(1); run writer(2);
#if GROWERS
        run grower();
#endif
#if GETS > 0 || defined(SNAPSHOT)
        run reader();
#endif
#if KILLS > 0
        run killer()
#endif
    };
    stopped == WRITERS + GROWERS;
    lock_write(READER, at);
    judge();
    write_lock = 0
}
