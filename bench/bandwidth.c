// Microseconds of each pass over a buffer that is read once by all threads: bandwidth <bytes> <threads> <passes>
//
// The buffer is as large as what the benchmark compares it with, so that caches help both alike.

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef uint64_t Lane __attribute__((vector_size(64)));

enum { kThreadsMax = 256, kUnroll = 8 };

static pthread_barrier_t barrier;
static int pass_count;

struct Part {
  const Lane* begin;
  size_t lanes;
  uint64_t sum;
};

static uint64_t Sum(const Lane* lanes, size_t count) {
  Lane sums[kUnroll] = {{0}};
  for (size_t i = 0; i + kUnroll <= count; i += kUnroll) {
    for (int j = 0; j < kUnroll; ++j) sums[j] += lanes[i + j];
  }
  Lane total = {0};
  for (int j = 0; j < kUnroll; ++j) total += sums[j];
  return total[0] + total[1] + total[2] + total[3] + total[4] + total[5] + total[6] + total[7];
}

static double Microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static void* Work(void* argument) {
  struct Part* part = argument;
  for (int pass = 0; pass < pass_count; ++pass) {
    pthread_barrier_wait(&barrier);
    part->sum += Sum(part->begin, part->lanes);
    pthread_barrier_wait(&barrier);
  }
  return NULL;
}

int main(int count, char** arguments) {
  if (count != 4) return 2;
  const size_t bytes = strtoull(arguments[1], NULL, 10) & ~(size_t)4095;
  const int threads = atoi(arguments[2]);
  pass_count = atoi(arguments[3]);
  if (threads < 1 || threads > kThreadsMax || bytes == 0 || pass_count < 1) return 2;
  char* buffer = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (buffer == MAP_FAILED) return 1;
  madvise(buffer, bytes, MADV_HUGEPAGE);
  memset(buffer, 1, bytes);

  pthread_t handles[kThreadsMax];
  struct Part parts[kThreadsMax];
  pthread_barrier_init(&barrier, NULL, threads + 1);
  const size_t lanes = bytes / sizeof(Lane) / threads;
  for (int i = 0; i < threads; ++i) {
    parts[i] = (struct Part){(const Lane*)buffer + lanes * i, lanes, 0};
    if (pthread_create(&handles[i], NULL, Work, &parts[i]) != 0) return 1;
  }
  for (int pass = 0; pass < pass_count; ++pass) {
    const double begin = Microseconds();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    printf("%.1f\n", Microseconds() - begin);
  }
  uint64_t sum = 0;
  for (int i = 0; i < threads; ++i) {
    pthread_join(handles[i], NULL);
    sum += parts[i].sum;
  }
  // Used, so that no compiler can leave the reading out.
  fprintf(stderr, "%llu\n", (unsigned long long)sum);
  return 0;
}
