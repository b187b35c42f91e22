# Builds Cronkeep as one static program and puts it into a small image.
#
#   docker build -t cronkeep .                               runs as root, as a crond must that runs jobs of several users
#   docker build --target rootless -t cronkeep:rootless .    runs as user 10001, or as any other, with nothing to write to but /tmp
#   docker build --target bare -t cronkeep:bare .            nothing but the program, for
#                                                            `COPY --from=cronkeep:bare /usr/local/bin/ /usr/local/bin/`
#
# Build arguments: BUILDER, an image with Rust and a C compiler on Debian; BASE, what the jobs find around them
# (`--build-arg BASE=debian:bookworm-slim`); PROGRAM=given takes a program from the build context instead of compiling it.
ARG BUILDER=rust:1-bookworm
ARG BASE=alpine:3
ARG PROGRAM=compiled

FROM ${BUILDER} AS compiled
WORKDIR /src
COPY . .
# The target is named so that only the program is linked statically, not what runs during the build.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$target" \
 && mkdir -p /program/usr/local/bin \
 && cp "target/$target/release/cronkeep" /program/usr/local/bin/

FROM scratch AS given
COPY cronkeep /program/usr/local/bin/cronkeep

FROM ${PROGRAM} AS program

FROM scratch AS bare
COPY --from=program /program/ /
# The names that cron is known by: crond and crontab lead to cronkeep.
COPY packaging/image/ /
ENTRYPOINT ["/usr/local/bin/cronkeep"]

FROM ${BASE} AS rooted
COPY --from=bare / /
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/usr/local/bin/cronkeep", "health"]
ENTRYPOINT ["/usr/local/bin/cronkeep"]

FROM rooted AS rootless
ENV CRONKEEP_STATE_DIR=/tmp/cronkeep CRONKEEP_CONTROL=/tmp/cronkeep/control.sock
USER 10001:10001

FROM rooted
