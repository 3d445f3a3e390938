// Orders that could be one step weaker as far as the models see. They stay as they are: on x86 they cost nothing.
// `file`, `kind` and `order` of the weakening, `text` in its line.

const lockTakes = "to take a lock needs acquire alone; what its taker stored before is nobody else's"
const lockGives = 'to give a lock back needs release alone'
const mark = "only the waiters' mark is set, which carries nothing; the lock is taken or given back by another step"
const kernelOrders =
  'the kernel gives the byte back after the last store of the dead, and is asked after the word was seen'
const lockOrders = 'read and written under a lock, which orders it'
const valueCounts = 'only its value counts; what it stands for is ordered by `applied` or by the word loaded before'
const asleep = 'the system call of the sleep or the wake-up orders it; a late look costs one more round'
const notThere = (what) => `what it carries is not in the models: ${what}`

const row = (file, kind, order, text, why) => ({ file, kind, order, text, why })

export const wouldDo = [
  row('participant.cc', 'swap-fails', 'relaxed', 'word_', mark),
  row('participant.cc', 'swap', 'acquire', 'expected, self_.word() | flags', lockTakes),
  row('participant.cc', 'exchange', 'release', 'Exchange(word_, 0u)', lockGives),
  row('participant.cc', 'load', 'relaxed', 'uint32_t seen = LoadAcquire(word_)', mark),
  row('participant.cc', 'swap', 'acquire', 'seen | kWaiters', mark),
  row('participant.cc', 'swap', 'release', 'seen | kWaiters', mark),
  row('participant.cc', 'load', 'relaxed', 'LoadAcquire(word_) == seen', kernelOrders),
  row('participant.cc', 'load', 'relaxed', 'lines[number].incarnation', kernelOrders),
  row('participant.cc', 'swap', 'acquire', '!alive && CompareExchange', kernelOrders),
  row('participant.cc', 'swap', 'release', '!alive && CompareExchange', kernelOrders),

  row(
    'store.h',
    'load',
    'relaxed',
    'IndexTable Table()',
    'used under the write lock, which orders it, or to warm a look-up that comes later',
  ),
  row(
    'claim.cc',
    'exchange',
    'release',
    'FetchAdd(claim',
    notThere('the list behind a claim; segments are mapped from the beginning'),
  ),
  row(
    'claim.cc',
    'exchange',
    'acquire',
    'FetchAdd(claim',
    notThere('as above, from the side that goes on with the word'),
  ),
  row(
    'commit.cc',
    'load',
    'relaxed',
    'open_segment = ClaimSegment',
    notThere('as above; under the write lock its value is right'),
  ),
  row('meta_file.cc', 'swap-fails', 'relaxed', 'CompareExchange(boot_->list_generation', valueCounts),
  row('meta_file.cc', 'swap', 'release', 'CompareExchange(boot_->list_generation', valueCounts),
  row('space.cc', 'load', 'relaxed', 'uint64_t claim = LoadAcquire(boot_->claim)', lockOrders),
  row('space.cc', 'swap-fails', 'relaxed', 'MakeClaim(next', 'only the slots of the value seen have changed'),
  row('space.cc', 'swap', 'release', 'MakeClaim(next', lockOrders),

  row(
    'read.cc',
    'load',
    'relaxed',
    '!position.none() || LoadAcquire(boot_->index) == word',
    'compared only; the acquire of the cell that missed orders it',
  ),
  row('read.cc', 'load', 'relaxed', 'above <= LoadAcquire(boot_->applied)', notThere('copies of compaction')),
  row(
    'memory_index.h',
    'store',
    'relaxed',
    'StoreRelease(cell.hash',
    'its release in a place that is used again was not found needed within four cells; it stands with the acquire in FindCell',
  ),
  row('index_growth.cc', 'load', 'relaxed', 'const IndexWord old', lockOrders),
  row(
    'apply.cc',
    'store',
    'relaxed',
    'StoreRelease(boot_->tail',
    notThere('cursors that read up to it; whoever repairs is ordered by the lock'),
  ),
  row(
    'apply.cc',
    'store',
    'relaxed',
    'StoreRelease(boot_->last_frame, position',
    notThere('a growth of the index beside a repair'),
  ),
  row('apply.cc', 'load', 'relaxed', 'const Position tail(LoadAcquire', lockOrders),
  row('apply.cc', 'load', 'relaxed', 'const Position last(LoadAcquire', lockOrders),
  row('apply.cc', 'store', 'relaxed', 'died(', valueCounts),
  row('snapshot.h', 'load', 'relaxed', 'segment.born(slot)', valueCounts),
  row('snapshot.h', 'load', 'relaxed', 'segment.died(slot)', valueCounts),
  row(
    'read.cc',
    'load',
    'relaxed',
    'const uint64_t generation',
    'the list in `meta` is read by its file, and `generation` is compared only',
  ),
  row('read.cc', 'load', 'relaxed', 'snapshot.tail = ', notThere('cursors that read up to it')),
  row('read.cc', 'load', 'relaxed', 'const uint64_t claim = LoadAcquire', valueCounts),
  row('read.cc', 'load', 'relaxed', 'LoadAcquire(boot_->list_generation) != generation', valueCounts),
  row('read.cc', 'load', 'relaxed', 'const uint64_t ready', valueCounts),
  row(
    'meta_file.cc',
    'load',
    'relaxed',
    'held->list_generation',
    'the newest list is found by the second look at the generation',
  ),

  row('segment_table.h', 'store', 'relaxed', 'chunks_[PlaceOf(raw)].store', notThere('the zeros of a new chunk')),
  row('segment_table.h', 'load', 'relaxed', 'chunks_[PlaceOf(raw)].load', notThere('the zeros of a new chunk')),
  row('segment_table.h', 'store', 'relaxed', '.store(nullptr', 'the barrier of the grace orders it'),
  row('pins.cc', 'swap-fails', 'relaxed', 'first_slot', 'tried again'),
  row('pins.cc', 'swap', 'acquire', 'first_slot', notThere('the plain bytes of a new slot')),
  row('pins.cc', 'swap', 'release', 'first_slot', notThere('the plain bytes of older slots')),
  row('pins.cc', 'load', 'relaxed', 'first_slot.load', notThere('the plain bytes of a slot')),
  row('pins.cc', 'load', 'relaxed', 'barrier.load', valueCounts),
  row('pins.cc', 'store', 'relaxed', 'barrier.store', valueCounts),
  row('pins.cc', 'exchange', 'acq_rel', 'forks_are_watched', valueCounts),
  row('pins.cc', 'swap', 'acquire', 'taken.compare', notThere('threads that end and give their slots back')),
  row('pins.cc', 'swap', 'release', 'taken.compare', notThere('threads that end and give their slots back')),
  row('pins.cc', 'swap-fails', 'relaxed', 'taken.compare', notThere('threads that end and give their slots back')),

  row('wait.cc', 'load', 'relaxed', 'session_->wake', asleep),
  row('wait.cc', 'exchange', 'acquire', 'session_->', asleep),
  row('wait.cc', 'exchange', 'release', 'session_->', asleep),
  row('flush_group.cc', 'load', 'relaxed', 'session_->flushes', asleep),
  row('flush_group.cc', 'load', 'relaxed', 'watermark_sequence', 'what it says is of the disk, not of memory'),
  row('flush_group.cc', 'exchange', 'acquire', 'session_->flushes', asleep),
  row('flush_group.cc', 'exchange', 'release', 'session_->flushes', asleep),

  row('file_loss.h', 'load', 'relaxed', 'lost_.load', notThere('who reads which file it was')),
  row(
    'file_loss_posix.cc',
    'store',
    'relaxed',
    'range->begin.store(0',
    'the release of the `end` that comes after it says so to who meets a row taken again',
  ),
  row('file_loss_posix.cc', 'store', 'relaxed', 'chunk->next.store', notThere('the zeros of a new chunk')),
  row('file_loss_posix.cc', 'load', 'relaxed', 'chunk->next.load', notThere('the zeros of a new chunk')),
  row('file_loss_posix.cc', 'store', 'relaxed', 'lost_.store', notThere('who reads which file it was')),
]
