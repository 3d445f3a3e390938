/* Pins and graces as native/core/store/pins.h and mapped_segments.cc do them, with the store buffers of x86: a plain
 * store waits in its thread's buffer and reaches the others later, in order; loads go past it. ProcessBarrier empties
 * every buffer. models/check.mjs runs the configurations and the planted faults (F_...).
 *
 * Two callers, each of several calls, on one segment that left the list; the helper that takes it out of the table and
 * unmaps it. A call may take a hold of the segment, which outlives it, and may ask for it by number when it is out of
 * the table: then it is put back if it is still mapped.
 */

#ifndef CALLS
#define CALLS 2      /* of each caller */
#endif
#ifndef LOOKS
#define LOOKS 2      /* of the helper: how often it tries to let go */
#endif
#define CALLERS 2

bit in_table = 1, mapped = 1, leaving;
byte holds;                                            /* shared_ptrs besides the table's own */
byte word[CALLERS];                                    /* what others see of the callers' words */
bit buffered[CALLERS];                                 /* a store of word + 1 on its way */
bit mutex;                                             /* map_mutex_: the buffer is empty once it was taken or given */
byte done;

#define OWN(me) (word[me] + buffered[me])
inline drain(me) { word[me] = OWN(me); buffered[me] = 0 }

/* The kernel may empty a buffer at any time. */
active proctype memory() {
end:
    do
    :: atomic { buffered[0] -> drain(0) }
    :: atomic { buffered[1] -> drain(1) }
    od
}

inline lock(me) { atomic { !mutex -> mutex = 1; drain(me) } }
inline unlock() { mutex = 0 }

proctype caller(byte me) {
    byte calls;
    bit found, hold;
    do
    :: calls < CALLS ->
       calls++;
       atomic { assert(!(OWN(me) & 1)); buffered[me] = 1 };     /* inside; no fence */
#ifdef F_LATE_PIN
       atomic { buffered[me] = 0 };
#endif
       /* GetSegment: the table, else under the mutex what is leaving. */
       found = in_table;
       if
       :: !found ->
          lock(me);
          if
          :: in_table -> found = 1
#ifndef F_NO_PUT_BACK
          :: !in_table && leaving -> in_table = 1; leaving = 0; found = 1
#else
          :: !in_table && leaving -> found = 1
#endif
          :: else                                      /* gone: the call begins again at the index */
          fi;
          unlock()
       :: found
       fi;
#ifdef F_LATE_PIN
       atomic { buffered[me] = 1 };
#endif
       if
       :: found ->
          assert(mapped);
          if
          :: !hold -> hold = 1; atomic { holds++; drain(me) }   /* a locked instruction */
          :: true
          fi;
          assert(mapped)                               /* and again at the end of the call */
       :: else
       fi;
       found = 0;
       atomic { drain(me); word[me]++; word[me] = word[me] % 8 };   /* outside: release, after all that was read */
       if
       :: hold -> assert(mapped); atomic { hold = 0; holds-- }
       :: hold                                          /* goes on holding into the next call */
       :: !hold
       fi
    :: calls == CALLS ->
       if
       :: hold -> assert(mapped); atomic { hold = 0; holds-- }
       :: else
       fi;
       break
    od;
    done++
}

/* One caller's word as the grace noted it: even, nobody to wait for. */
#define OVER(me) (!(noted[me] & 1) || word[me] != noted[me])

proctype helper() {
    byte look;
    byte noted[CALLERS];
    do
    :: look < LOOKS && mapped ->
       look++;
       /* TakeUnlisted */
       atomic { !mutex -> mutex = 1 };
       if
#ifdef F_HOLD_IGNORED
       :: in_table ->
#else
       :: in_table && holds == 0 ->
#endif
#ifdef F_NOTED_FIRST
          noted[0] = word[0]; noted[1] = word[1];
#endif
          in_table = 0; leaving = 1;
#ifndef F_NO_BARRIER
          atomic { drain(0); drain(1) };
#endif
#ifndef F_NOTED_FIRST
          noted[0] = word[0];
          noted[1] = word[1]
#endif
       :: else
       fi;
       mutex = 0;
       /* DropLeaving, at this look or a later one. */
       atomic { !mutex -> mutex = 1 };
       if
#ifdef F_NO_GRACE
       :: leaving ->
#else
       :: leaving && OVER(0) && OVER(1) ->
#endif
          if
#ifndef F_HELD_DROPPED
          :: holds > 0 -> in_table = 1; leaving = 0
          :: holds == 0 -> leaving = 0; mapped = 0
#else
          :: leaving = 0; mapped = 0
#endif
          fi
       :: else
       fi;
       mutex = 0
    :: else -> break
    od;
    /* Everybody gone: one more look lets it go. */
    done == CALLERS;
    atomic {
        drain(0); drain(1);
        assert(holds == 0);
        assert(mapped || (!in_table && !leaving));
        assert(!mapped || in_table + leaving == 1)
    }
}

init { atomic { run caller(0); run caller(1); run helper() } }
