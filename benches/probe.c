/* The job of every measurement: stamps the wall clock as its first act and appends the stamp to a file.
 *
 * probe FILE [SECONDS]
 *
 * One line, nanoseconds since the epoch, in one write(2): jobs that end together do not mix their lines. It then sleeps
 * for SECONDS, if given, as a job that lasts. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (argc < 2 || argc > 3)
        return 2;
    char line[32];
    int length = snprintf(line, sizeof line, "%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0 || write(file, line, length) != length)
        return 1;
    if (argc == 3)
        sleep(atoi(argv[2]));
    return 0;
}
