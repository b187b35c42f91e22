/* The job of every measurement: stamps the wall clock as its first act and appends the stamp to a file.
 *
 * probe FILE
 *
 * One line, nanoseconds since the epoch, in one write(2): jobs that end together do not mix their lines. */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (argc != 2)
        return 2;
    char line[32];
    int length = snprintf(line, sizeof line, "%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return file < 0 || write(file, line, length) != length;
}
