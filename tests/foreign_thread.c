/* Threads that Python did not start, as an embedding server has them.

   Each call takes the interpreter's lock by PyGILState_Ensure (ctypes does that for a callback) and gives its thread
   state back afterwards, so that Python sees a new thread state at every call of one and the same thread. */

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

struct foreign_thread {
    pthread_t thread;
    void (*callback)(void);
    long calls;
    sem_t called, go;
};

static void *run(void *argument)
{
    struct foreign_thread *self = argument;
    for (long call = 0; call < self->calls; call++)
        self->callback();
    sem_post(&self->called);
    sem_wait(&self->go);
    return NULL;
}

/* Start a thread that makes that many calls and then waits; NULL where none can be started. */
struct foreign_thread *foreign_thread_start(void (*callback)(void), long calls)
{
    struct foreign_thread *self = malloc(sizeof *self);
    if (self == NULL)
        return NULL;
    self->callback = callback;
    self->calls = calls;
    sem_init(&self->called, 0, 0);
    sem_init(&self->go, 0, 0);
    if (pthread_create(&self->thread, NULL, run, self) != 0) {
        free(self);
        return NULL;
    }
    return self;
}

/* Return when the thread has made all its calls; it lives on. */
void foreign_thread_wait(struct foreign_thread *self)
{
    sem_wait(&self->called);
}

/* Let the thread end, and return when it is gone. */
void foreign_thread_end(struct foreign_thread *self)
{
    sem_post(&self->go);
    pthread_join(self->thread, NULL);
    free(self);
}

static struct foreign_thread *last;

static void end_last(void)
{
    foreign_thread_end(last);
}

/* Let the thread end when the process does, after the interpreter; 0 where that could be arranged. */
int foreign_thread_end_at_exit(struct foreign_thread *self)
{
    last = self;
    return atexit(end_last);
}
