/* Clock of a process that loads this library first (LD_PRELOAD): its time of day is made from the monotonic clock by the
   setting in the file that SET_CLOCK_FILE names, which all processes of a system map, see __init__.py. The monotonic clock
   stays real, and so does every wait. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
/* A deadline in seconds beyond this number is a time of day: no machine has run for thirty years. */
#define TIME_OF_DAY 1000000000

/* In nanoseconds: at `monotonic` the clock showed `shown`; it runs `slowness` times slower than a real one. Kafka's
   showed `kafka`, and is never slow: it measures its own timeouts by the time of day. */
struct setting { int64_t monotonic, shown, slowness, kafka; };
/* The setting in force is settings[current]: the other one can be written meanwhile. */
struct clock { int64_t current; struct setting settings[2]; };

static volatile const struct clock *set;
static int is_kafka;

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_clock_nanosleep)(clockid_t, int, const struct timespec *, struct timespec *);
static int (*real_sem_timedwait)(sem_t *, const struct timespec *);
static int (*real_sem_clockwait)(sem_t *, clockid_t, const struct timespec *);
static int (*real_cond_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*real_cond_clockwait)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
static int (*real_mutex_timedlock)(pthread_mutex_t *, const struct timespec *);

static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

__attribute__((constructor)) static void load(void)
{
    if (set)
        return;
    real_clock_gettime = next("clock_gettime");
    real_clock_nanosleep = next("clock_nanosleep");
    real_sem_timedwait = next("sem_timedwait");
    real_sem_clockwait = next("sem_clockwait");
    real_cond_clockwait = next("pthread_cond_clockwait");
    real_mutex_timedlock = next("pthread_mutex_timedlock");
    /* Of two versions dlsym may find the older one, whose condition variables are others. */
    real_cond_timedwait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real_cond_timedwait)
        real_cond_timedwait = next("pthread_cond_timedwait");
    const char *path = getenv("SET_CLOCK_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *set, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        abort();
    close(file);
    is_kafka = strcmp(program_invocation_short_name, "java") == 0;
    set = mapped;
}

static int64_t real_now(clockid_t id)
{
    struct timespec ts;
    load();
    real_clock_gettime(id, &ts);
    return ts.tv_sec * SECOND + ts.tv_nsec;
}

static int64_t shown_now(void)
{
    int64_t now = real_now(CLOCK_MONOTONIC);
    volatile const struct setting *setting = &set->settings[set->current];
    int64_t passed = now - setting->monotonic;
    return is_kafka ? setting->kafka + passed : setting->shown + passed / setting->slowness;
}

static void put(int64_t nanoseconds, struct timespec *ts)
{
    ts->tv_sec = nanoseconds / SECOND;
    ts->tv_nsec = nanoseconds % SECOND;
}

/* Return the real time of a deadline: as far from the real time as the deadline is from the time shown. */
static const struct timespec *real(const struct timespec *deadline, struct timespec *made)
{
    load();
    if (!deadline || deadline->tv_sec < TIME_OF_DAY)
        return deadline;
    int64_t left = deadline->tv_sec * SECOND + deadline->tv_nsec - shown_now();
    put(real_now(CLOCK_REALTIME) + left, made);
    return made;
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    load();
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)
        return real_clock_gettime(id, ts);
    put(shown_now(), ts);
    return 0;
}

int timespec_get(struct timespec *ts, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, ts) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    (void)zone;
    int64_t now = shown_now();
    tv->tv_sec = now / SECOND;
    tv->tv_usec = now % SECOND / 1000;
    return 0;
}

time_t time(time_t *where)
{
    time_t now = shown_now() / SECOND;
    if (where)
        *where = now;
    return now;
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec *wanted, struct timespec *left)
{
    struct timespec made;
    load();
    return real_clock_nanosleep(id, flags, flags & TIMER_ABSTIME ? real(wanted, &made) : wanted, left);
}

int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict deadline)
{
    struct timespec made;
    const struct timespec *until = real(deadline, &made);
    return real_sem_timedwait(sem, until);
}

int sem_clockwait(sem_t *restrict sem, clockid_t id, const struct timespec *restrict deadline)
{
    struct timespec made;
    const struct timespec *until = real(deadline, &made);
    return real_sem_clockwait(sem, id, until);
}

int pthread_cond_timedwait(
    pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict deadline)
{
    struct timespec made;
    const struct timespec *until = real(deadline, &made);
    return real_cond_timedwait(cond, mutex, until);
}

int pthread_cond_clockwait(
    pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, clockid_t id, const struct timespec *restrict deadline)
{
    struct timespec made;
    const struct timespec *until = real(deadline, &made);
    return real_cond_clockwait(cond, mutex, id, until);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict deadline)
{
    struct timespec made;
    const struct timespec *until = real(deadline, &made);
    return real_mutex_timedlock(mutex, until);
}
