/* The limit: a program that does nothing but start a command when its instant has come.
 *
 * limit WAY PERIOD OFFSET COUNT BURST COMMAND [ARGUMENT]...
 *
 * WAY is spawn (posix_spawn(3)), vfork (vfork(2) and execve(2)) or vfork:ID, which becomes the user and the group of that
 * number in between. The instants are those multiples of PERIOD seconds
 * plus OFFSET milliseconds that lie ahead, COUNT of them; at each, COMMAND is started BURST times and then waited for.
 * COMMAND is executed as it stands: give /bin/sh -c '…' to see what a shell adds.
 * It prints, for each instant, how late it woke and its own and its children's CPU time so far, in nanoseconds. */
#define _GNU_SOURCE
#include <grp.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define SECOND 1000000000LL

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t used(int who) {
    struct rusage usage;
    getrusage(who, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * SECOND
        + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL;
}

static int start(int by_vfork, long user, char **command) {
    pid_t child;
    if (!by_vfork)
        return posix_spawn(&child, command[0], NULL, NULL, command, environ);
    child = vfork();
    if (child == 0) {
        if (user && (syscall(SYS_setgroups, 0, NULL) || syscall(SYS_setgid, user) || syscall(SYS_setuid, user)))
            _exit(126);
        execve(command[0], command, environ);
        _exit(127);
    }
    return child < 0;
}

int main(int argc, char **argv) {
    if (argc < 7) {
        fputs("usage: limit spawn|vfork[:ID] PERIOD OFFSET COUNT BURST COMMAND [ARGUMENT]...\n", stderr);
        return 2;
    }
    int by_vfork = strncmp(argv[1], "vfork", 5) == 0;
    long user = strchr(argv[1], ':') ? atol(strchr(argv[1], ':') + 1) : 0;
    int64_t period = atoll(argv[2]) * SECOND, offset = atoll(argv[3]) * 1000000LL;
    int count = atoi(argv[4]), burst = atoi(argv[5]);
    int timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
    if (timer < 0 || period <= 0)
        return 1;
    int64_t due = (now() - offset) / period * period + offset;
    while (count-- > 0) {
        due += period;
        struct itimerspec at = {.it_value = {due / SECOND, due % SECOND}};
        uint64_t times;
        if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL) || read(timer, &times, sizeof times) < 0)
            return 1;
        int64_t late = now() - due;
        for (int i = 0; i < burst; i++)
            if (start(by_vfork, user, argv + 6))
                return 1;
        while (wait(NULL) > 0)
            ;
        printf("%lld %lld %lld\n", (long long)late, (long long)used(RUSAGE_SELF), (long long)used(RUSAGE_CHILDREN));
        fflush(stdout);
    }
    return 0;
}
